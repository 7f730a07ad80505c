/*
 * Buffers: each step of their words, allowed and refused; pools that come, go and come again; memory of the
 * user's own.
 */
#include "engine/buffers.h"

#include "support/test.h"

#include <string.h>
#include <sys/mman.h>

#define TAG 0x0abu
#define BUFFERS_MAX 32u
#define POOLS_MAX 3u

static struct sqcq__buffers buffers;

static int make(void **state)
{
  (void)state;
  buffers = (struct sqcq__buffers){0};
  return sqcq__buffers_init(&buffers, BUFFERS_MAX, POOLS_MAX, TAG);
}

static int unmake(void **state)
{
  (void)state;
  sqcq__buffers_fini(&buffers);
  return 0;
}

static int try_pool(uint32_t count, uint64_t size, uint32_t align, uint64_t *pool)
{
  struct sqcq_pool_config config = {
      .size = sizeof(config), .count = count, .align = align, .buffer_size = size};
  uint32_t index;
  int error = sqcq__pool_make(&buffers, &config, &index);

  if (error == 0)
    *pool = sqcq__pool_open(&buffers, index);
  return error;
}

static uint64_t make_pool(uint32_t count, uint64_t size)
{
  uint64_t pool = 0;

  assert_ok(try_pool(count, size, 64, &pool));
  return pool;
}

static sqcq_buffer acquire(uint64_t pool)
{
  sqcq_buffer buffer = {0};

  assert_count(sqcq__buffers_acquire(&buffers, pool, &buffer, 1), 1);
  return buffer;
}

static int release(sqcq_buffer buffer)
{
  return sqcq__buffers_release(&buffers, &buffer, 1);
}

static struct sqcq__buffer *at(sqcq_buffer buffer)
{
  return sqcq__buffer_at(&buffers, buffer.id);
}

static uint64_t word(sqcq_buffer buffer)
{
  return sqcq__load_relaxed(&at(buffer)->word);
}

/* What a request's acceptance and the taking of its completion do. */
static void fly(sqcq_buffer buffer)
{
  assert_true(sqcq__buffer_step(at(buffer), buffer.id, SQCQ__BUFFER_OWNED, SQCQ__BUFFER_IN_FLIGHT));
  sqcq__owner_give(&at(buffer)->owner, at(buffer)->memory, at(buffer)->size);
}

static void land(sqcq_buffer buffer)
{
  sqcq__owner_take(&at(buffer)->owner, at(buffer)->memory, at(buffer)->size);
  assert_true(sqcq__buffer_step(at(buffer), buffer.id, SQCQ__BUFFER_IN_FLIGHT, SQCQ__BUFFER_OWNED));
}

static void assert_held(uint32_t pooled, uint32_t wrapped)
{
  uint32_t now_pooled = 99, now_wrapped = 99;

  sqcq__buffers_held(&buffers, &now_pooled, &now_wrapped);
  assert_int_equal(now_pooled, pooled);
  assert_int_equal(now_wrapped, wrapped);
}

/* ------------------------------------------------------------------------- */
/* States                                                                    */
/* ------------------------------------------------------------------------- */

static void buffer_goes_its_way_and_its_handle_dies_with_the_release(void **state)
{
  uint64_t pool = make_pool(2, 100);
  sqcq_buffer buffer = acquire(pool);

  assert_int_equal(sqcq__handle_tag(buffer.id), TAG);
  assert_ok(sqcq__buffer_check(&buffers, buffer.id));
  fly(buffer);
  assert_error(sqcq__buffer_check(&buffers, buffer.id), -EBUSY);
  land(buffer);
  assert_ok(sqcq__buffer_check(&buffers, buffer.id));
  assert_count(release(buffer), 1);
  assert_error(sqcq__buffer_check(&buffers, buffer.id), -ESTALE);
  sqcq_buffer again = acquire(pool); /* the one used last comes first */
  assert_int_equal(sqcq__handle_index(again.id), sqcq__handle_index(buffer.id));
  assert_int_equal(sqcq__handle_generation(again.id), sqcq__handle_generation(buffer.id) + 1);
  assert_error(sqcq__buffer_check(&buffers, buffer.id), -ESTALE);
  assert_count(release(again), 1);
}

static void buffer_generations_begin_at_one_and_grow(void **state)
{
  uint64_t pool = make_pool(1, 100);
  static unsigned char memory[8];

  for (uint32_t generation = 1; generation <= 4; generation++) {
    sqcq_buffer buffer = acquire(pool), wrapped;

    assert_int_equal(sqcq__handle_generation(buffer.id), generation);
    assert_count(release(buffer), 1);
    assert_ok(sqcq__buffers_wrap(&buffers, memory, sizeof(memory), &wrapped.id));
    assert_int_equal(sqcq__handle_generation(wrapped.id), generation);
    assert_ok(sqcq__buffers_unwrap(&buffers, wrapped.id));
  }
}

static void buffer_step_refuses_whatever_is_not_its_turn(void **state)
{
  static const enum sqcq__buffer_state states[] = {SQCQ__BUFFER_FREE, SQCQ__BUFFER_OWNED,
                                                   SQCQ__BUFFER_IN_FLIGHT};
  sqcq_buffer buffer = acquire(make_pool(1, 100));
  uint32_t generation = sqcq__handle_generation(buffer.id);

  for (int is = 0; is < 3; is++)
    for (int from = 0; from < 3; from++)
      for (int to = 0; to < 3; to++) {
        sqcq__store_relaxed(&at(buffer)->word, sqcq__word(generation, states[is]));
        bool done = sqcq__buffer_step(at(buffer), buffer.id, states[from], states[to]);

        assert_int_equal(done, is == from);
        assert_int_equal(word(buffer), sqcq__word(generation, states[done ? to : is]));
      }
  /* Nor with another generation's handle. */
  sqcq__store_relaxed(&at(buffer)->word, sqcq__word(generation, SQCQ__BUFFER_OWNED));
  for (int delta = -1; delta <= 1; delta += 2) {
    uint64_t stale =
        sqcq__handle((uint32_t)((int)generation + delta), sqcq__handle_index(buffer.id), TAG);

    assert_false(sqcq__buffer_step(at(buffer), stale, SQCQ__BUFFER_OWNED, SQCQ__BUFFER_IN_FLIGHT));
  }
  assert_int_equal(word(buffer), sqcq__word(generation, SQCQ__BUFFER_OWNED));
  assert_count(release(buffer), 1);
}

static void buffer_check_of_foreign_handles_is_refused(void **state)
{
  sqcq_buffer buffer = acquire(make_pool(1, 100));
  uint32_t generation = sqcq__handle_generation(buffer.id);

  assert_error(sqcq__buffer_check(&buffers, 0), -ESTALE);
  assert_error(sqcq__buffer_check(&buffers, sqcq__handle_retag(buffer.id, TAG + 1)), -EINVAL);
  assert_error(sqcq__buffer_check(&buffers, sqcq__handle(generation, BUFFERS_MAX, TAG)), -EINVAL);
  assert_error(sqcq__buffer_check(&buffers, UINT64_MAX), -EINVAL);
  assert_error(sqcq__buffer_check(&buffers, sqcq__handle(generation + 1, 0, TAG)), -ESTALE);
  assert_error(sqcq__buffer_check(&buffers, sqcq__handle(1, 7, TAG)), -ESTALE); /* never used */
  assert_error(sqcq__buffer_check(&buffers, sqcq__handle(0, 7, TAG)), -ESTALE);
  assert_count(release(buffer), 1);
}

static void buffer_generation_wraps_past_zero(void **state)
{
  uint64_t pool = make_pool(1, 100);
  sqcq_buffer buffer = acquire(pool);

  sqcq__store_relaxed(&at(buffer)->word, sqcq__word(UINT32_MAX, SQCQ__BUFFER_OWNED));
  buffer.id = sqcq__handle(UINT32_MAX, sqcq__handle_index(buffer.id), TAG);
  assert_count(release(buffer), 1);
  buffer = acquire(pool);
  assert_int_equal(sqcq__handle_generation(buffer.id), 1);
  assert_count(release(buffer), 1);
}

/* ------------------------------------------------------------------------- */
/* Acquire and release                                                       */
/* ------------------------------------------------------------------------- */

static void buffers_acquire_gives_each_once_and_then_none(void **state)
{
  uint64_t pool = make_pool(5, 100);
  sqcq_buffer out[8] = {{0}};
  uint32_t seen = 0;

  assert_count(sqcq__buffers_acquire(&buffers, pool, out, 3), 3);
  assert_count(sqcq__buffers_acquire(&buffers, pool, out + 3, 5), 2); /* what there is */
  assert_error(sqcq__buffers_acquire(&buffers, pool, out + 5, 1), -ENOBUFS);
  assert_int_equal(out[5].id, 0);
  for (uint32_t i = 0; i < 5; i++) {
    assert_int_equal(seen & 1u << sqcq__handle_index(out[i].id), 0);
    seen |= 1u << sqcq__handle_index(out[i].id);
  }
  assert_held(5, 0);
  assert_count(sqcq__buffers_release(&buffers, out, 5), 5);
  assert_held(0, 0);
}

static void buffers_acquire_of_more_than_a_chunk_gives_them_all(void **state)
{
  static sqcq_buffer out[300];

  unmake(NULL);
  buffers = (struct sqcq__buffers){0};
  assert_ok(sqcq__buffers_init(&buffers, 300, POOLS_MAX, TAG));
  uint64_t pool = make_pool(200, 8);
  assert_count(sqcq__buffers_acquire(&buffers, pool, out, 300), 200);
  for (uint32_t i = 0; i < 200; i++)
    assert_ok(sqcq__buffer_check(&buffers, out[i].id));
  assert_count(sqcq__buffers_release(&buffers, out, 200), 200);
  assert_count(sqcq__buffers_acquire(&buffers, pool, out, 200), 200);
  assert_count(sqcq__buffers_release(&buffers, out, 200), 200);
}

static void buffers_acquire_of_no_pool_is_refused(void **state)
{
  uint64_t pool = make_pool(1, 100);
  sqcq_buffer out = {77};

  assert_error(sqcq__buffers_acquire(&buffers, 0, &out, 1), -ESTALE);
  assert_error(sqcq__buffers_acquire(&buffers, sqcq__handle_retag(pool, TAG + 1), &out, 1),
               -EINVAL);
  assert_error(sqcq__buffers_acquire(&buffers, sqcq__handle(1, POOLS_MAX, TAG), &out, 1), -EINVAL);
  assert_error(sqcq__buffers_acquire(&buffers, sqcq__handle(99, 0, TAG), &out, 1), -ESTALE);
  assert_error(sqcq__buffers_acquire(&buffers, sqcq__handle(1, 1, TAG), &out, 1), -ESTALE);
  assert_int_equal(out.id, 77);
}

static void buffers_release_twice_is_estale(void **state)
{
  uint64_t pool = make_pool(2, 100);
  sqcq_buffer buffer = acquire(pool);

  assert_count(release(buffer), 1);
  assert_error(release(buffer), -ESTALE);
  sqcq_buffer again = acquire(pool);
  assert_error(release(buffer), -ESTALE); /* the new owner's stays its own */
  assert_ok(sqcq__buffer_check(&buffers, again.id));
  assert_count(release(again), 1);
  /* It is in the list once: two acquires give two buffers. */
  sqcq_buffer first = acquire(pool), second = acquire(pool), none = {0};
  assert_int_not_equal(sqcq__handle_index(first.id), sqcq__handle_index(second.id));
  assert_error(sqcq__buffers_acquire(&buffers, pool, &none, 1), -ENOBUFS);
  assert_count(release(first), 1);
  assert_count(release(second), 1);
}

static void buffers_release_leaves_what_lies_behind_the_count(void **state)
{
  sqcq_buffer out[4];

  assert_count(sqcq__buffers_acquire(&buffers, make_pool(4, 100), out, 4), 4);
  assert_count(sqcq__buffers_release(&buffers, out, 3), 3);
  assert_ok(sqcq__buffer_check(&buffers, out[3].id));
  assert_held(1, 0);
  assert_count(release(out[3]), 1);
}

static void buffers_release_in_flight_is_ebusy(void **state)
{
  uint64_t pool = make_pool(1, 100);
  sqcq_buffer buffer = acquire(pool), none = {0};

  fly(buffer);
  assert_error(release(buffer), -EBUSY);
  assert_error(sqcq__buffers_acquire(&buffers, pool, &none, 1), -ENOBUFS);
  land(buffer);
  assert_count(release(buffer), 1);
}

static void buffers_release_over_two_pools_gives_each_its_own(void **state)
{
  uint64_t pools[2] = {make_pool(4, 100), make_pool(4, 200)};
  sqcq_buffer out[2][4], mixed[8];

  for (uint32_t i = 0; i < 2; i++)
    assert_count(sqcq__buffers_acquire(&buffers, pools[i], out[i], 4), 4);
  static const uint32_t order[8] = {0, 0, 1, 0, 1, 1, 1, 0}; /* in runs */
  uint32_t next[2] = {0, 0};
  for (uint32_t i = 0; i < 8; i++)
    mixed[i] = out[order[i]][next[order[i]]++];
  assert_count(sqcq__buffers_release(&buffers, mixed, 8), 8);
  for (uint32_t i = 0; i < 2; i++) {
    assert_count(sqcq__buffers_acquire(&buffers, pools[i], out[i], 4), 4);
    for (uint32_t n = 0; n < 4; n++)
      assert_int_equal(at(out[i][n])->size, 100 * (i + 1));
    assert_count(sqcq__buffers_release(&buffers, out[i], 4), 4);
  }
}

static void buffers_release_stops_at_the_first_it_must_refuse(void **state)
{
  uint64_t pools[2] = {make_pool(4, 100), make_pool(2, 200)};
  sqcq_buffer mixed[5], free_ones[4];

  assert_count(sqcq__buffers_acquire(&buffers, pools[0], mixed, 4), 4);
  assert_count(sqcq__buffers_acquire(&buffers, pools[1], mixed + 4, 1), 1);
  fly(mixed[2]);
  assert_count(sqcq__buffers_release(&buffers, mixed, 5), 2);
  assert_ok(sqcq__buffer_check(&buffers, mixed[3].id)); /* those behind it are as they were */
  assert_ok(sqcq__buffer_check(&buffers, mixed[4].id));
  assert_error(sqcq__buffers_release(&buffers, mixed + 2, 3), -EBUSY);
  assert_count(sqcq__buffers_acquire(&buffers, pools[0], free_ones, 4), 2);
  assert_count(sqcq__buffers_release(&buffers, free_ones, 2), 2);
  land(mixed[2]);
  /* The same one twice in a batch: the second time it is stale. */
  mixed[1] = mixed[2];
  assert_count(sqcq__buffers_release(&buffers, mixed + 1, 4), 1);
  assert_count(sqcq__buffers_release(&buffers, mixed + 3, 2), 2);
  assert_held(0, 0);
}

static void buffers_release_of_more_than_a_chunk_gives_them_all_back(void **state)
{
  static sqcq_buffer out[130];

  unmake(NULL);
  buffers = (struct sqcq__buffers){0};
  assert_ok(sqcq__buffers_init(&buffers, 130, POOLS_MAX, TAG));
  uint64_t pools[2] = {make_pool(65, 8), make_pool(65, 8)};
  for (uint32_t i = 0; i < 130; i++)
    out[i] = acquire(pools[i / 65]);
  assert_count(sqcq__buffers_release(&buffers, out, 130), 130);
  for (uint32_t i = 0; i < 130; i++)
    out[i] = acquire(pools[i % 2]);
  out[100].id = 0;
  assert_count(sqcq__buffers_release(&buffers, out, 130), 100);
  assert_held(30, 0);
  assert_error(sqcq__buffers_release(&buffers, out + 100, 30), -ESTALE);
  assert_count(sqcq__buffers_release(&buffers, out + 101, 29), 29);
  assert_held(1, 0);
}

/* ------------------------------------------------------------------------- */
/* Pools                                                                     */
/* ------------------------------------------------------------------------- */

static void pool_make_lays_buffers_out_aligned_and_apart(void **state)
{
  static const struct {
    uint64_t size;
    uint32_t align;
  } cases[] = {{1, 1}, {100, 64}, {4096, 4096}, {5000, 4096}, {4096, 65536}, {1, 2u << 20}};

  for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
    uint64_t pool = 0;
    sqcq_buffer out[3];

    assert_ok(try_pool(3, cases[c].size, cases[c].align, &pool));
    assert_count(sqcq__buffers_acquire(&buffers, pool, out, 3), 3);
    for (uint32_t i = 0; i < 3; i++) {
      assert_int_equal((uintptr_t)at(out[i])->memory % cases[c].align, 0);
      assert_int_equal(at(out[i])->size, cases[c].size);
      memset(at(out[i])->memory, (int)i + 1, cases[c].size);
    }
    for (uint32_t i = 0; i < 3; i++)
      for (uint64_t byte = 0; byte < cases[c].size; byte += 97)
        assert_int_equal(at(out[i])->memory[byte], i + 1);
    assert_count(sqcq__buffers_release(&buffers, out, 3), 3);
    assert_ok(sqcq__pool_destroy(&buffers, pool));
  }
}

static void pool_make_beyond_the_bounds_is_enospc(void **state)
{
  uint64_t pool = 0;

  assert_error(try_pool(BUFFERS_MAX + 1, 8, 8, &pool), -ENOSPC);
  (void)make_pool(BUFFERS_MAX - 1, 8);
  assert_error(try_pool(2, 8, 8, &pool), -ENOSPC);
  (void)make_pool(1, 8);
  assert_error(try_pool(1, 8, 8, &pool), -ENOSPC); /* a slot is left, but no place */
  assert_int_equal(pool, 0);
}

static void pool_make_beyond_the_slots_is_enospc(void **state)
{
  uint64_t pools[POOLS_MAX], pool = 0;

  for (uint32_t i = 0; i < POOLS_MAX; i++)
    pools[i] = make_pool(2, 8);
  assert_error(try_pool(1, 8, 8, &pool), -ENOSPC);
  assert_ok(sqcq__pool_destroy(&buffers, pools[1]));
  (void)make_pool(1, 8);
  assert_error(try_pool(1, 8, 8, &pool), -ENOSPC);
}

static void pool_make_of_more_memory_than_there_is_fails_whole(void **state)
{
  uint64_t pool = 0;

  unmake(NULL);
  buffers = (struct sqcq__buffers){0};
  assert_ok(sqcq__buffers_init(&buffers, SQCQ_BUFFERS_MAX, POOLS_MAX, TAG));
  /* 2^20 buffers of 2 GiB: more than an address space has. */
  assert_error(try_pool(SQCQ_BUFFERS_MAX, SQCQ_LENGTH_MAX, 4096, &pool), -ENOMEM);
  pool = make_pool(4, 8); /* its slot is free again */
  assert_count(release(acquire(pool)), 1);
}

static void pool_slot_is_used_again_with_its_places(void **state)
{
  uint64_t pool = make_pool(8, 100);
  sqcq_buffer stale = acquire(pool);

  assert_count(release(stale), 1);
  for (int i = 0; i < 20; i++) {
    uint32_t generation = sqcq__handle_generation(pool);
    uint32_t count = (uint32_t)(i % 8) + 1;
    sqcq_buffer out[8];

    assert_ok(sqcq__pool_destroy(&buffers, pool));
    uint64_t old = pool;
    pool = make_pool(count, 200);
    assert_int_equal(sqcq__handle_index(pool), sqcq__handle_index(old));
    assert_true(sqcq__handle_generation(pool) > generation);
    assert_error(sqcq__buffers_acquire(&buffers, old, out, 1), -ESTALE);
    assert_error(sqcq__pool_destroy(&buffers, old), -ESTALE);
    assert_count(sqcq__buffers_acquire(&buffers, pool, out, 8), count);
    assert_error(sqcq__buffer_check(&buffers, stale.id), -ESTALE);
    for (uint32_t n = 0; n < count; n++)
      assert_int_equal(at(out[n])->size, 200);
    assert_count(sqcq__buffers_release(&buffers, out, count), count);
  }
  /* i % 8 is 3 in the last round: the places of the larger ones before it came back */
  assert_int_equal(sqcq__load_relaxed(&buffers.used), 4);
}

static void pool_slot_of_just_the_right_size_is_used_again(void **state)
{
  uint64_t first = make_pool(4, 100);
  uint64_t second = make_pool(4, 100); /* its places come behind the first one's */

  for (int i = 0; i < 3; i++) {
    assert_ok(sqcq__pool_destroy(&buffers, first));
    first = make_pool(4, 100);
    assert_int_equal(sqcq__load_relaxed(&buffers.used), 8);
  }
  assert_ok(sqcq__pool_destroy(&buffers, second));
}

/* Whether a page is mapped at all. */
static bool is_mapped(void *memory)
{
  unsigned char there;

  return mincore((void *)((uintptr_t)memory / 4096 * 4096), 4096, &there) == 0;
}

static void pool_destroy_gives_its_memory_back(void **state)
{
  uint64_t pool = make_pool(2, 4096);
  sqcq_buffer buffer = acquire(pool);
  void *memory = at(buffer)->memory;

  assert_true(is_mapped(memory));
  assert_count(release(buffer), 1);
  assert_true(is_mapped(memory));
  assert_ok(sqcq__pool_destroy(&buffers, pool));
  assert_false(is_mapped(memory));
}

static void buffers_fini_gives_all_memory_back(void **state)
{
  void *memory[2];

  for (int i = 0; i < 2; i++) {
    sqcq_buffer buffer = acquire(make_pool(2, 4096));

    memory[i] = at(buffer)->memory;
    assert_count(release(buffer), 1);
  }
  sqcq__buffers_fini(&buffers);
  assert_false(is_mapped(memory[0]));
  assert_false(is_mapped(memory[1]));
  assert_ok(make(NULL));
}

static void pool_destroy_with_buffers_out_is_ebusy_and_changes_nothing(void **state)
{
  uint64_t pool = make_pool(5, 100);
  sqcq_buffer out[5];

  for (uint32_t held = 1; held <= 5; held++) {
    assert_count(sqcq__buffers_acquire(&buffers, pool, out, held), held);
    memset(at(out[0])->memory, 0x42, 100);
    assert_error(sqcq__pool_destroy(&buffers, pool), -EBUSY);
    assert_int_equal(at(out[0])->memory[99], 0x42);
    for (uint32_t i = 0; i < held; i++)
      assert_ok(sqcq__buffer_check(&buffers, out[i].id));
    sqcq_buffer rest[5];
    if (held < 5) {
      assert_count(sqcq__buffers_acquire(&buffers, pool, rest, 5), 5 - held);
      assert_count(sqcq__buffers_release(&buffers, rest, 5 - held), 5 - held);
    } else {
      assert_error(sqcq__buffers_acquire(&buffers, pool, rest, 5), -ENOBUFS);
    }
    assert_count(sqcq__buffers_release(&buffers, out, held), held);
  }
  assert_ok(sqcq__pool_destroy(&buffers, pool));
  assert_error(sqcq__pool_destroy(&buffers, pool), -ESTALE);
}

static void pool_destroy_of_a_large_one_with_one_out_keeps_all(void **state)
{
  static sqcq_buffer out[200];

  unmake(NULL);
  buffers = (struct sqcq__buffers){0};
  assert_ok(sqcq__buffers_init(&buffers, 200, POOLS_MAX, TAG));
  uint64_t pool = make_pool(200, 8); /* more than are taken out at once */
  sqcq_buffer one = acquire(pool);
  assert_error(sqcq__pool_destroy(&buffers, pool), -EBUSY);
  assert_count(sqcq__buffers_acquire(&buffers, pool, out, 200), 199);
  assert_count(sqcq__buffers_release(&buffers, out, 199), 199);
  assert_count(release(one), 1);
  assert_ok(sqcq__pool_destroy(&buffers, pool));
}

static void pool_destroy_of_foreign_handles_is_refused(void **state)
{
  uint64_t pool = make_pool(1, 100);

  assert_error(sqcq__pool_destroy(&buffers, 0), -ESTALE);
  assert_error(sqcq__pool_destroy(&buffers, sqcq__handle_retag(pool, TAG + 1)), -EINVAL);
  assert_error(sqcq__pool_destroy(&buffers, sqcq__handle(1, POOLS_MAX, TAG)), -EINVAL);
  assert_error(sqcq__pool_destroy(&buffers, sqcq__handle(99, 0, TAG)), -ESTALE);
  assert_ok(sqcq__pool_destroy(&buffers, pool));
}

static void pool_abandon_gives_the_slot_back(void **state)
{
  struct sqcq_pool_config config = {.count = 4, .align = 64, .buffer_size = 100};
  uint32_t index, again;

  assert_ok(sqcq__pool_make(&buffers, &config, &index));
  sqcq__pool_abandon(&buffers, index);
  assert_ok(sqcq__pool_make(&buffers, &config, &again));
  assert_int_equal(again, index);
  assert_count(release(acquire(sqcq__pool_open(&buffers, again))), 1);
}

/* ------------------------------------------------------------------------- */
/* Where a request's bytes go                                                */
/* ------------------------------------------------------------------------- */

static struct sqcq__request request_for(sqcq_buffer buffer, uint32_t offset)
{
  return (struct sqcq__request){.buffer = sqcq__handle_retag(buffer.id, at(buffer)->pool),
                                .buffer_offset = offset};
}

static void buffers_locate_finds_the_memory_the_owner_sees(void **state)
{
  int32_t fixed = 99;

  (void)make_pool(3, 50); /* so that places and pools differ */
  uint64_t pool = make_pool(4, 100);
  for (uint32_t i = 0; i < 4; i++) {
    sqcq_buffer buffer = acquire(pool);
    struct sqcq__request request = request_for(buffer, i * 10);

    assert_ptr_equal(sqcq__buffers_locate(&buffers, &request, &fixed), at(buffer)->memory + i * 10);
    assert_int_equal(fixed, -1);
  }
}

static void buffers_locate_in_a_fixed_pool_names_the_part(void **state)
{
  int32_t fixed;
  uint64_t pool = make_pool(7, 100);
  struct sqcq__pool *it = &buffers.pools[sqcq__handle_index(pool)];

  it->fixed = 5;
  it->fixed_places = 3;
  for (uint32_t i = 0; i < 7; i++) {
    sqcq_buffer buffer = acquire(pool);
    struct sqcq__request request = request_for(buffer, 0);
    uint32_t place = sqcq__handle_index(buffer.id) - it->first;

    (void)sqcq__buffers_locate(&buffers, &request, &fixed);
    assert_int_equal(fixed, 5 + place / 3);
  }
}

static void buffers_locate_of_wrapped_memory_is_never_fixed(void **state)
{
  static unsigned char memory[100];
  int32_t fixed = 99;
  sqcq_buffer buffer;

  assert_ok(sqcq__buffers_wrap(&buffers, memory, sizeof(memory), &buffer.id));
  struct sqcq__request request = request_for(buffer, 60);
  assert_ptr_equal(sqcq__buffers_locate(&buffers, &request, &fixed), memory + 60);
  assert_int_equal(fixed, -1);
  assert_ok(sqcq__buffers_unwrap(&buffers, buffer.id));
}

/* ------------------------------------------------------------------------- */
/* Memory of the user's own                                                  */
/* ------------------------------------------------------------------------- */

static unsigned char own[64];

static sqcq_buffer wrap(void)
{
  sqcq_buffer buffer = {0};

  assert_ok(sqcq__buffers_wrap(&buffers, own, sizeof(own), &buffer.id));
  return buffer;
}

static void buffers_wrap_then_unwrap_leaves_the_memory_alone(void **state)
{
  memset(own, 0x5a, sizeof(own));
  sqcq_buffer buffer = wrap();
  assert_ptr_equal(at(buffer)->memory, own);
  assert_int_equal(at(buffer)->size, sizeof(own));
  assert_ok(sqcq__buffer_check(&buffers, buffer.id));
  assert_held(0, 1);
  fly(buffer);
  assert_error(sqcq__buffers_unwrap(&buffers, buffer.id), -EBUSY);
  land(buffer);
  assert_ok(sqcq__buffers_unwrap(&buffers, buffer.id));
  assert_held(0, 0);
  for (size_t i = 0; i < sizeof(own); i++)
    assert_int_equal(own[i], 0x5a); /* and not poisoned */
}

static void buffers_unwrap_twice_is_estale(void **state)
{
  sqcq_buffer buffer = wrap();

  assert_ok(sqcq__buffers_unwrap(&buffers, buffer.id));
  assert_error(sqcq__buffers_unwrap(&buffers, buffer.id), -ESTALE);
  sqcq_buffer again = wrap(); /* the same place */
  assert_int_equal(sqcq__handle_index(again.id), sqcq__handle_index(buffer.id));
  assert_error(sqcq__buffers_unwrap(&buffers, buffer.id), -ESTALE);
  assert_ok(sqcq__buffers_unwrap(&buffers, again.id));
}

static void buffers_of_a_pool_are_not_unwrapped_nor_wrapped_ones_released(void **state)
{
  sqcq_buffer pooled = acquire(make_pool(1, 100));
  sqcq_buffer wrapped = wrap();

  assert_error(sqcq__buffers_unwrap(&buffers, pooled.id), -EINVAL);
  assert_error(release(wrapped), -EINVAL);
  assert_ok(sqcq__buffer_check(&buffers, pooled.id));
  assert_ok(sqcq__buffer_check(&buffers, wrapped.id));
  assert_held(1, 1);
  sqcq_buffer batch[2] = {pooled, wrapped};
  assert_count(sqcq__buffers_release(&buffers, batch, 2), 1);
  assert_ok(sqcq__buffers_unwrap(&buffers, wrapped.id));
  assert_error(sqcq__buffers_unwrap(&buffers, 0), -ESTALE);
  assert_error(sqcq__buffers_unwrap(&buffers, sqcq__handle_retag(wrapped.id, TAG + 1)), -EINVAL);
}

static void buffers_wrap_beyond_the_bound_is_enospc(void **state)
{
  uint64_t handles[BUFFERS_MAX];
  uint64_t handle = 77;

  (void)make_pool(4, 100);
  for (uint32_t i = 0; i < BUFFERS_MAX - 4; i++)
    assert_ok(sqcq__buffers_wrap(&buffers, own, sizeof(own), &handles[i]));
  assert_error(sqcq__buffers_wrap(&buffers, own, sizeof(own), &handle), -ENOSPC);
  assert_int_equal(handle, 77);
  assert_ok(sqcq__buffers_unwrap(&buffers, handles[9]));
  assert_ok(sqcq__buffers_wrap(&buffers, own, sizeof(own), &handles[9]));
  for (uint32_t i = 0; i < BUFFERS_MAX - 4; i++)
    assert_ok(sqcq__buffers_unwrap(&buffers, handles[i]));
}

static void buffers_fini_of_none_does_nothing(void **state)
{
  struct sqcq__buffers none = {0};

  sqcq__buffers_fini(&none);
}

/* ------------------------------------------------------------------------- */
/* Layout                                                                    */
/* ------------------------------------------------------------------------- */

static void buffers_have_a_line_each(void **state)
{
  assert_int_equal(sizeof(struct sqcq__buffer) % SQCQ_CACHELINE, 0);
  assert_int_equal(_Alignof(struct sqcq__buffer), SQCQ_CACHELINE);
#if !defined(SQCQ__TSAN)
  assert_int_equal(sizeof(struct sqcq__buffer), SQCQ_CACHELINE);
#endif
  assert_int_equal(offsetof(struct sqcq__buffer, pool) / SQCQ_CACHELINE, 0);
  /* What all acquirers write is apart from what all requests read. */
  assert_int_not_equal(offsetof(struct sqcq__pool, free) / SQCQ_CACHELINE,
                       offsetof(struct sqcq__pool, start) / SQCQ_CACHELINE);
  assert_int_not_equal(offsetof(struct sqcq__buffers, used) / SQCQ_CACHELINE,
                       offsetof(struct sqcq__buffers, buffers) / SQCQ_CACHELINE);
  assert_int_not_equal(offsetof(struct sqcq__buffers, unwrapped) / SQCQ_CACHELINE,
                       offsetof(struct sqcq__buffers, buffers) / SQCQ_CACHELINE);
}

#define BUFFERS_TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
  const struct CMUnitTest tests[] = {
      BUFFERS_TEST(buffer_goes_its_way_and_its_handle_dies_with_the_release),
      BUFFERS_TEST(buffer_generations_begin_at_one_and_grow),
      BUFFERS_TEST(buffer_step_refuses_whatever_is_not_its_turn),
      BUFFERS_TEST(buffer_check_of_foreign_handles_is_refused),
      BUFFERS_TEST(buffer_generation_wraps_past_zero),
      BUFFERS_TEST(buffers_acquire_gives_each_once_and_then_none),
      BUFFERS_TEST(buffers_acquire_of_more_than_a_chunk_gives_them_all),
      BUFFERS_TEST(buffers_acquire_of_no_pool_is_refused),
      BUFFERS_TEST(buffers_release_twice_is_estale),
      BUFFERS_TEST(buffers_release_leaves_what_lies_behind_the_count),
      BUFFERS_TEST(buffers_release_in_flight_is_ebusy),
      BUFFERS_TEST(buffers_release_over_two_pools_gives_each_its_own),
      BUFFERS_TEST(buffers_release_stops_at_the_first_it_must_refuse),
      BUFFERS_TEST(buffers_release_of_more_than_a_chunk_gives_them_all_back),
      BUFFERS_TEST(pool_make_lays_buffers_out_aligned_and_apart),
      BUFFERS_TEST(pool_make_beyond_the_bounds_is_enospc),
      BUFFERS_TEST(pool_make_beyond_the_slots_is_enospc),
      BUFFERS_TEST(pool_make_of_more_memory_than_there_is_fails_whole),
      BUFFERS_TEST(pool_slot_is_used_again_with_its_places),
      BUFFERS_TEST(pool_slot_of_just_the_right_size_is_used_again),
      BUFFERS_TEST(pool_destroy_gives_its_memory_back),
      BUFFERS_TEST(buffers_fini_gives_all_memory_back),
      BUFFERS_TEST(pool_destroy_with_buffers_out_is_ebusy_and_changes_nothing),
      BUFFERS_TEST(pool_destroy_of_a_large_one_with_one_out_keeps_all),
      BUFFERS_TEST(pool_destroy_of_foreign_handles_is_refused),
      BUFFERS_TEST(pool_abandon_gives_the_slot_back),
      BUFFERS_TEST(buffers_locate_finds_the_memory_the_owner_sees),
      BUFFERS_TEST(buffers_locate_in_a_fixed_pool_names_the_part),
      BUFFERS_TEST(buffers_locate_of_wrapped_memory_is_never_fixed),
      BUFFERS_TEST(buffers_wrap_then_unwrap_leaves_the_memory_alone),
      BUFFERS_TEST(buffers_unwrap_twice_is_estale),
      BUFFERS_TEST(buffers_of_a_pool_are_not_unwrapped_nor_wrapped_ones_released),
      BUFFERS_TEST(buffers_wrap_beyond_the_bound_is_enospc),
      cmocka_unit_test(buffers_fini_of_none_does_nothing),
      cmocka_unit_test(buffers_have_a_line_each),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
