/* The pools and queues of harness.h. */
#include "harness.h"

struct bench_request *bench_pool_take(uint32_t producer, uint32_t least, uint32_t most)
{
  struct bench_pool *pool = &bench_pools[producer];
  struct bench_request *head = NULL;
  uint32_t count;

  if (least > pool->size)
    least = pool->size;
  pthread_mutex_lock(&pool->lock);
  while (pool->count < least) {
    pool->wanted = least;
    pthread_cond_wait(&pool->room, &pool->lock);
  }
  pool->wanted = 0;
  count = pool->count < most ? pool->count : most;
  if (count) {
    struct bench_request *last = head = pool->head;

    for (uint32_t i = 1; i < count; i++)
      last = last->next;
    pool->head = last->next;
    pool->count -= count;
    last->next = NULL;
  }
  pthread_mutex_unlock(&pool->lock);
  return head;
}

void bench_pool_put(uint32_t producer, struct bench_list *list)
{
  struct bench_pool *pool = &bench_pools[producer];
  bool wake;

  if (!list->head)
    return;
  pthread_mutex_lock(&pool->lock);
  list->tail->next = pool->head;
  pool->head = list->head;
  pool->count += list->count;
  wake = pool->wanted && pool->count >= pool->wanted;
  if (wake)
    pool->wanted = 0;
  pthread_mutex_unlock(&pool->lock);
  if (wake)
    pthread_cond_signal(&pool->room);
  *list = (struct bench_list){0};
}

void bench_queue_init(struct bench_queue *queue)
{
  *queue = (struct bench_queue){0};
  pthread_mutex_init(&queue->lock, NULL);
  pthread_cond_init(&queue->filled, NULL);
}

void bench_queue_push(struct bench_queue *queue, struct bench_list *list)
{
  uint32_t waiting;

  if (!list->head)
    return;
  pthread_mutex_lock(&queue->lock);
  if (queue->list.tail)
    queue->list.tail->next = list->head;
  else
    queue->list.head = list->head;
  queue->list.tail = list->tail;
  queue->list.count += list->count;
  waiting = queue->waiting;
  pthread_mutex_unlock(&queue->lock);
  if (waiting > 1 && list->count > 1)
    pthread_cond_broadcast(&queue->filled);
  else if (waiting)
    pthread_cond_signal(&queue->filled);
  *list = (struct bench_list){0};
}

static void queue_sleep_while_empty(struct bench_queue *queue)
{
  while (!queue->list.head && !queue->closed) {
    queue->waiting++;
    pthread_cond_wait(&queue->filled, &queue->lock);
    queue->waiting--;
  }
}

static struct bench_request *queue_take_all(struct bench_queue *queue)
{
  struct bench_request *head = queue->list.head;

  queue->list = (struct bench_list){0};
  return head;
}

struct bench_request *bench_queue_wait_all(struct bench_queue *queue)
{
  struct bench_request *head;

  pthread_mutex_lock(&queue->lock);
  queue_sleep_while_empty(queue);
  head = queue_take_all(queue);
  pthread_mutex_unlock(&queue->lock);
  return head;
}

struct bench_request *bench_queue_try_all(struct bench_queue *queue)
{
  struct bench_request *head;

  pthread_mutex_lock(&queue->lock);
  head = queue_take_all(queue);
  pthread_mutex_unlock(&queue->lock);
  return head;
}

struct bench_request *bench_queue_wait_share(struct bench_queue *queue, uint32_t parts)
{
  struct bench_request *head;

  pthread_mutex_lock(&queue->lock);
  queue_sleep_while_empty(queue);
  head = queue->list.head;
  if (head) {
    struct bench_request *last = head;
    uint32_t count = queue->list.count / parts;

    if (count < 1)
      count = 1;
    for (uint32_t i = 1; i < count; i++)
      last = last->next;
    queue->list.head = last->next;
    queue->list.count -= count;
    if (!queue->list.head)
      queue->list.tail = NULL;
    last->next = NULL;
  }
  pthread_mutex_unlock(&queue->lock);
  return head;
}

void bench_queue_close(struct bench_queue *queue)
{
  pthread_mutex_lock(&queue->lock);
  queue->closed = true;
  pthread_cond_broadcast(&queue->filled);
  pthread_mutex_unlock(&queue->lock);
}
