#include "engine/buffers.h"

#include "base/check.h"
#include "base/mem.h"

#include <stddef.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

int sqcq__buffers_init(struct sqcq__buffers *buffers, uint32_t buffer_max, uint32_t pool_max,
                       uint32_t tag)
{
  buffers->buffer_max = buffer_max;
  buffers->pool_max = pool_max;
  buffers->tag = tag;
  buffers->buffers = sqcq__mem_new(buffer_max, sizeof(*buffers->buffers));
  buffers->pools = sqcq__mem_new(pool_max, sizeof(*buffers->pools));
  if (buffers->buffers == NULL || buffers->pools == NULL)
    return -ENOMEM;
  sqcq__freelist_init(&buffers->unwrapped, &buffers->buffers[0].link, sizeof(buffers->buffers[0]));
  /* Once for all pools of a slot: a list that starts anew forgets what guards it against ABA. */
  for (uint32_t i = 0; i < pool_max; i++)
    sqcq__freelist_init(&buffers->pools[i].free, &buffers->buffers[0].link,
                        sizeof(buffers->buffers[0]));
  return 0;
}

static void unmap(struct sqcq__buffers *buffers, struct sqcq__pool *pool)
{
  for (uint32_t i = 0; i < pool->count; i++) {
    struct sqcq__buffer *buffer = &buffers->buffers[pool->first + i];

    /* Free ones belong to nobody, and the mapping goes back clean. relaxed: nobody else is here */
    if (sqcq__word_state(sqcq__load_relaxed(&buffer->word)) == SQCQ__BUFFER_FREE)
      sqcq__owner_take(&buffer->owner, buffer->memory, buffer->size);
    sqcq__owner_fini(&buffer->owner);
  }
  (void)munmap(pool->memory, pool->bytes);
  pool->memory = NULL;
  pool->wants_fixed = false;
}

void sqcq__buffers_fini(struct sqcq__buffers *buffers)
{
  for (uint32_t i = 0; buffers->pools != NULL && i < buffers->pool_max; i++)
    if (buffers->pools[i].memory != NULL)
      unmap(buffers, &buffers->pools[i]);
  sqcq__mem_free(buffers->buffers);
  sqcq__mem_free(buffers->pools);
}

/* Places that were never used: `count` in a row, or -ENOSPC. */
static int take_places(struct sqcq__buffers *buffers, uint32_t count, uint32_t *first)
{
  uint32_t used = sqcq__load_relaxed(&buffers->used); /* relaxed: a number, no data behind it */

  do {
    if (count > buffers->buffer_max - used)
      return -ENOSPC;
  } while (!sqcq__cas_relaxed(&buffers->used, &used, used + count));
  *first = used;
  return 0;
}

/* The last places that were given out can be given to anybody again; others stay the slot's. */
static void give_places(struct sqcq__buffers *buffers, struct sqcq__pool *pool)
{
  uint32_t used = pool->first + pool->range;

  if (sqcq__cas_relaxed(&buffers->used, &used, pool->first)) /* relaxed: a number */
    pool->range = 0;
}

static bool claim_pool(struct sqcq__pool *pool)
{
  uint64_t seen = sqcq__load_acquire(&pool->word); /* pair(pool) acquire */

  if (sqcq__word_state(seen) != SQCQ__POOL_FREE)
    return false;
  uint32_t generation = sqcq__generation_after(sqcq__word_generation(seen));
  return sqcq__cas_acq_rel(&pool->word, &seen, sqcq__word(generation, SQCQ__POOL_CHANGING));
}

static void unclaim_pool(struct sqcq__pool *pool)
{
  uint64_t word = sqcq__load_relaxed(&pool->word); /* relaxed: ours alone while CHANGING */

  /* pair(room) publish: who waits for a destroyed pool is told */
  sqcq__store_seq(&pool->word, sqcq__word(sqcq__word_generation(word), SQCQ__POOL_FREE));
}

/* Free places of a pool come back. */
static void give_back(struct sqcq__buffers *buffers, struct sqcq__pool *pool,
                      const uint32_t *places, uint32_t count)
{
  sqcq__freelist_put(&pool->free, places, count);
  /* A load of the line just written, and free of order: the put is a publish of pair(room). From
   * the put on the pool may be another one: of it only what is atomic may be looked at. */
  if (sqcq__room_awaited(&pool->room) != 0)
    sqcq__room_given(buffers->rooms, &pool->room, count,
                     sqcq__freelist_count(&pool->free, buffers->rooms->count),
                     sqcq__load_relaxed(&pool->size)); /* relaxed: a number */
}

int sqcq__pool_room(const struct sqcq__buffers *buffers, uint64_t handle, uint32_t max)
{
  const struct sqcq__pool *pool = &buffers->pools[sqcq__handle_index(handle)];
  uint64_t word = sqcq__load_seq(&pool->word); /* pair(room) look again */

  if (word == sqcq__word(sqcq__handle_generation(handle), SQCQ__POOL_CHANGING))
    return 0;
  if (word != sqcq__word(sqcq__handle_generation(handle), SQCQ__POOL_OPEN))
    return -ESTALE;
  return (int)sqcq__freelist_count(&pool->free, max);
}

/* A free slot whose places are enough, else one that has none yet. */
static int find_slot(struct sqcq__buffers *buffers, uint32_t count, uint32_t *index)
{
  for (int fresh = 0; fresh < 2; fresh++) {
    for (uint32_t i = 0; i < buffers->pool_max; i++) {
      struct sqcq__pool *pool = &buffers->pools[i];

      if (!claim_pool(pool))
        continue;
      if (fresh == 0 ? pool->range >= count : pool->range == 0) {
        if (fresh == 1 && take_places(buffers, count, &pool->first) < 0) {
          unclaim_pool(pool);
          return -ENOSPC;
        }
        if (fresh == 1)
          pool->range = count;
        *index = i;
        return 0;
      }
      unclaim_pool(pool);
    }
  }
  return -ENOSPC;
}

static void *map(const struct sqcq_pool_config *config, size_t *bytes, bool *in_huge)
{
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  bool huge = (config->flags & SQCQ_POOL_HUGE) != 0;
  void *memory = MAP_FAILED;

  *in_huge = false;
  if (huge) {
    *bytes = (*bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    memory = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);
    *in_huge = memory != MAP_FAILED;
    if (memory == MAP_FAILED && (config->flags & SQCQ_POOL_STRICT) != 0)
      return NULL;
  }
  if (memory == MAP_FAILED) {
    memory = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED)
      return NULL;
    if (huge)
      (void)madvise(memory, *bytes, MADV_HUGEPAGE);
  }
  (void)madvise(memory, *bytes, MADV_DONTFORK);
  return memory;
}

int sqcq__pool_make(struct sqcq__buffers *buffers, const struct sqcq_pool_config *config,
                    uint32_t *index)
{
  size_t stride = (config->buffer_size + config->align - 1) / config->align * config->align;
  /* A mapping starts on a page; more alignment than that needs room to move. */
  size_t slack = config->align > 4096 ? config->align : 0;
  size_t bytes = stride * config->count + slack;

  if (stride > (SIZE_MAX - slack) / config->count)
    return -ENOMEM;
  int error = find_slot(buffers, config->count, index);
  if (error < 0)
    return error;
  struct sqcq__pool *pool = &buffers->pools[*index];
  pool->memory = map(config, &bytes, &pool->huge);
  if (pool->memory == NULL) {
    give_places(buffers, pool);
    unclaim_pool(pool);
    return -ENOMEM;
  }
  pool->bytes = bytes;
  pool->stride = stride;
  pool->count = config->count;
  pool->fixed = -1;
  uintptr_t start = ((uintptr_t)pool->memory + config->align - 1) / config->align * config->align;
  pool->start = (unsigned char *)start;
  for (uint32_t i = 0; i < config->count; i++) {
    struct sqcq__buffer *buffer = &buffers->buffers[pool->first + i];

    buffer->size = (uint32_t)config->buffer_size;
    buffer->memory = pool->start + stride * i;
    buffer->pool = *index;
    sqcq__owner_init(&buffer->owner);
    sqcq__owner_give(&buffer->owner, buffer->memory, buffer->size);
  }
  return 0;
}

uint64_t sqcq__pool_open(struct sqcq__buffers *buffers, uint32_t index)
{
  struct sqcq__pool *pool = &buffers->pools[index];
  /* relaxed: ours alone while CHANGING */
  uint32_t generation = sqcq__word_generation(sqcq__load_relaxed(&pool->word));

  sqcq__store_relaxed(&pool->size, pool->count); /* relaxed: a number */
  for (uint32_t i = pool->count; i-- > 0;) {
    uint32_t place = pool->first + i;
    sqcq__freelist_put(&pool->free, &place, 1);
  }
  sqcq__store_release(&pool->word,
                      sqcq__word(generation, SQCQ__POOL_OPEN)); /* pair(pool) release */
  return sqcq__handle(generation, index, buffers->tag);
}

void sqcq__pool_abandon(struct sqcq__buffers *buffers, uint32_t index)
{
  unmap(buffers, &buffers->pools[index]);
  give_places(buffers, &buffers->pools[index]);
  unclaim_pool(&buffers->pools[index]);
}

/* The pool that a handle means, or NULL with *error: -EINVAL; -ESTALE; -EBUSY: it is just being
 * destroyed, which may still be refused. */
static struct sqcq__pool *pool_of(const struct sqcq__buffers *buffers, uint64_t handle, int *error)
{
  *error = sqcq__handle_check(handle, buffers->tag, buffers->pool_max, -ESTALE);
  if (*error < 0)
    return NULL;
  *error = -ESTALE;
  struct sqcq__pool *pool = &buffers->pools[sqcq__handle_index(handle)];
  uint64_t word = sqcq__load_acquire(&pool->word); /* pair(pool) acquire */
  if (word == sqcq__word(sqcq__handle_generation(handle), SQCQ__POOL_CHANGING))
    *error = -EBUSY;
  return word == sqcq__word(sqcq__handle_generation(handle), SQCQ__POOL_OPEN) ? pool : NULL;
}

int sqcq__pool_destroy(struct sqcq__buffers *buffers, uint64_t handle)
{
  int error;
  struct sqcq__pool *pool = pool_of(buffers, handle, &error);
  uint64_t open = sqcq__word(sqcq__handle_generation(handle), SQCQ__POOL_OPEN);
  uint64_t changing = sqcq__word(sqcq__handle_generation(handle), SQCQ__POOL_CHANGING);

  if (pool == NULL)
    return error;
  /* From here on nobody new acquires; who is in the middle of it takes buffers or finds none. */
  if (!sqcq__cas_acq_rel(&pool->word, &open, changing))
    return -ESTALE;
  /* Take them all out: those of a pool whose buffers are all here are nobody else's. */
  uint32_t here = 0, chunk[64], n;
  uint32_t first = 0; /* what was taken, linked up from here: index + 1 */
  while ((n = sqcq__freelist_take(&pool->free, chunk, 64)) > 0) {
    for (uint32_t i = 0; i < n; i++) {
      sqcq__store_relaxed(&buffers->buffers[chunk[i]].link, first); /* relaxed: ours alone */
      first = chunk[i] + 1;
    }
    here += n;
  }
  if (here == pool->count) {
    sqcq__pool_abandon(buffers, (uint32_t)(pool - buffers->pools));
    if (sqcq__room_awaited(&pool->room) != 0)
      sqcq__room_end(buffers->rooms, &pool->room);
    return 0;
  }
  while (first != 0) {
    uint32_t place = first - 1;

    first = sqcq__load_relaxed(&buffers->buffers[place].link);
    sqcq__freelist_put(&pool->free, &place, 1);
  }
  /* pair(room) publish: while it was CHANGING there was no room, whatever was released meanwhile. */
  sqcq__store_seq(&pool->word, sqcq__word(sqcq__handle_generation(handle), SQCQ__POOL_OPEN));
  if (sqcq__room_awaited(&pool->room) != 0) {
    uint32_t free = sqcq__freelist_count(&pool->free, buffers->rooms->count);

    if (free > 0)
      sqcq__room_given(buffers->rooms, &pool->room, free, free,
                       sqcq__load_relaxed(&pool->size)); /* relaxed: a number */
  }
  return -EBUSY;
}

/* Places that the free list gave us become buffers of the caller's. */
static void own(struct sqcq__buffers *buffers, const uint32_t *places, uint32_t count,
                sqcq_buffer *out)
{
  for (uint32_t i = 0; i < count; i++) {
    struct sqcq__buffer *buffer = &buffers->buffers[places[i]];
    /* relaxed, both: ours alone; pair(freelist) brought the word, a request will publish it */
    uint32_t generation = sqcq__word_generation(sqcq__load_relaxed(&buffer->word));

    generation = generation == 0 ? 1 : generation;
    sqcq__store_relaxed(&buffer->word, sqcq__word(generation, SQCQ__BUFFER_OWNED));
    sqcq__owner_take(&buffer->owner, buffer->memory, buffer->size);
    out[i].id = sqcq__handle(generation, places[i], buffers->tag);
  }
}

int sqcq__buffers_acquire(struct sqcq__buffers *buffers, uint64_t handle, sqcq_buffer *out,
                          uint32_t count)
{
  int error;
  struct sqcq__pool *pool = pool_of(buffers, handle, &error);
  uint32_t taken = 0;

  if (pool == NULL)
    return error == -EBUSY ? -ENOBUFS : error;
  if (count > INT32_MAX)
    count = INT32_MAX;
  while (taken < count) {
    uint32_t places[64];
    uint32_t n = sqcq__freelist_take(&pool->free, places, count - taken < 64 ? count - taken : 64);

    if (n == 0)
      break;
    /* The slot may have got another pool since the first look. Not from here on: while these are
     * out no destroy of their pool goes through. */
    uint64_t word = sqcq__load_acquire(&pool->word); /* pair(pool) acquire */
    if (sqcq__word_generation(word) != sqcq__handle_generation(handle)) {
      give_back(buffers, pool, places, n);
      return -ESTALE; /* taken is 0: what had been taken would have kept the pool */
    }
    own(buffers, places, n, out + taken);
    taken += n;
  }
  return taken == 0 ? -ENOBUFS : (int)taken;
}

/* OWNED -> FREE, with the next generation: every handle of before is stale. */
static int free_buffer(struct sqcq__buffers *buffers, uint64_t handle, bool wrapped)
{
  int error = sqcq__buffer_check(buffers, handle);

  if (error < 0)
    return error;
  struct sqcq__buffer *buffer = sqcq__buffer_at(buffers, handle);
  if ((buffer->pool == SQCQ__POOL_WRAPPED) != wrapped)
    return -EINVAL;
  uint32_t generation = sqcq__handle_generation(handle);
  uint64_t owned = sqcq__word(generation, SQCQ__BUFFER_OWNED);
  /* pair(buffer) release: of two that release at once, one wins. */
  if (!sqcq__cas_acq_rel(&buffer->word, &owned,
                         sqcq__word(sqcq__generation_after(generation), SQCQ__BUFFER_FREE)))
    return -ESTALE;
  return 0;
}

int sqcq__buffers_release(struct sqcq__buffers *buffers, const sqcq_buffer *in, uint32_t count)
{
  uint32_t done = 0;
  int error = 0;

  if (count > INT32_MAX)
    count = INT32_MAX;
  while (done < count && error == 0) {
    /* A run of buffers of one pool goes back with one CAS. */
    uint32_t places[64], n = 0, pool = 0;

    while (done + n < count && n < 64) {
      uint64_t handle = in[done + n].id;

      error = free_buffer(buffers, handle, false);
      if (error < 0)
        break;
      struct sqcq__buffer *buffer = sqcq__buffer_at(buffers, handle);
      sqcq__owner_give(&buffer->owner, buffer->memory, buffer->size);
      if (n > 0 && buffer->pool != pool) {
        give_back(buffers, &buffers->pools[pool], places, n);
        done += n;
        n = 0;
      }
      pool = buffer->pool;
      places[n++] = sqcq__handle_index(handle);
    }
    if (n > 0)
      give_back(buffers, &buffers->pools[pool], places, n);
    done += n;
  }
  return done == 0 ? error : (int)done;
}

int sqcq__buffers_wrap(struct sqcq__buffers *buffers, void *memory, size_t size, uint64_t *handle)
{
  uint32_t place;

  if (sqcq__freelist_take(&buffers->unwrapped, &place, 1) == 0) {
    int error = take_places(buffers, 1, &place);
    if (error < 0)
      return error;
  }
  struct sqcq__buffer *buffer = &buffers->buffers[place];
  /* relaxed: the place is ours alone */
  uint32_t generation = sqcq__word_generation(sqcq__load_relaxed(&buffer->word));
  generation = generation == 0 ? 1 : generation;
  buffer->size = (uint32_t)size;
  buffer->memory = memory;
  buffer->pool = SQCQ__POOL_WRAPPED;
  sqcq__owner_init(&buffer->owner);
  /* pair(buffer) release: a stale handle of this place that looks sees a whole buffer. */
  sqcq__store_release(&buffer->word, sqcq__word(generation, SQCQ__BUFFER_OWNED));
  *handle = sqcq__handle(generation, place, buffers->tag);
  return 0;
}

int sqcq__buffers_unwrap(struct sqcq__buffers *buffers, uint64_t handle)
{
  int error = free_buffer(buffers, handle, true);

  if (error < 0)
    return error;
  uint32_t place = sqcq__handle_index(handle);
  sqcq__owner_fini(&buffers->buffers[place].owner);
  sqcq__freelist_put(&buffers->unwrapped, &place, 1);
  return 0;
}

void sqcq__buffers_held(const struct sqcq__buffers *buffers, uint32_t *pooled, uint32_t *wrapped)
{
  uint32_t used = sqcq__load_relaxed(&buffers->used); /* relaxed, here: role S, alone */

  *pooled = 0;
  *wrapped = 0;
  for (uint32_t i = 0; i < used; i++) {
    if (sqcq__word_state(sqcq__load_relaxed(&buffers->buffers[i].word)) == SQCQ__BUFFER_FREE)
      continue;
    if (buffers->buffers[i].pool == SQCQ__POOL_WRAPPED)
      ++*wrapped;
    else
      ++*pooled;
  }
}
