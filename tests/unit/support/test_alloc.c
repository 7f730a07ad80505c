/* sqcq-test: simulated */
/*
 * Counting allocations and making them fail: on the C library itself, and on the simulated ring,
 * which must not allocate after it has been made.
 */
#include "support/alloc.h"
#include "support/kernel.h"
#include "support/sim_drive.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Kept in sight, so that the compiler does not leave an allocation out. */
static void *volatile kept[4];

static void calls_and_blocks_are_counted(void **state)
{
  uint64_t calls = alloc_calls();
  int64_t live = alloc_live();
  void *aligned = NULL;

  (void)state;
  kept[0] = malloc(10);
  kept[1] = calloc(2, 10);
  kept[2] = aligned_alloc(64, 128);
  kept[3] = strdup("text");
  assert_ok(posix_memalign(&aligned, 64, 64));
  assert_int_equal(alloc_calls(), calls + 5);
  assert_int_equal(alloc_live(), live + 5);
  kept[0] = realloc(kept[0], 1000);
  assert_int_equal(alloc_calls(), calls + 6);
  assert_int_equal(alloc_live(), live + 5);
  for (int i = 0; i < 4; i++)
    free(kept[i]);
  free(aligned);
  free(NULL);
  assert_int_equal(alloc_live(), live);
  alloc_ignore_me(true);
  kept[0] = malloc(1);
  alloc_ignore_me(false);
  assert_int_equal(alloc_calls(), calls + 6);
  free(kept[0]);
}

static void mappings_are_counted_in_bytes(void **state)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  int64_t mapped = alloc_mapped();

  (void)state;
  char *memory = mmap(NULL, 2 * page - 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_ptr_not_equal(memory, MAP_FAILED);
  assert_int_equal(alloc_mapped(), mapped + (int64_t)(2 * page));
  assert_ok(munmap(memory, page));
  assert_int_equal(alloc_mapped(), mapped + (int64_t)page);
  assert_ok(munmap(memory + page, page - 1));
  assert_int_equal(alloc_mapped(), mapped);
}

static void nth_call_fails(void **state)
{
  (void)state;
  alloc_fail_at(2);
  kept[0] = malloc(1);
  kept[1] = malloc(1);
  kept[2] = malloc(1);
  assert_non_null(kept[0]);
  assert_null(kept[1]);
  assert_int_equal(errno, ENOMEM);
  assert_non_null(kept[2]);
  assert_true(alloc_fail_off());
  assert_false(alloc_fail_off());
  free(kept[0]);
  free(kept[2]);

  alloc_fail_from(1);
  kept[0] = calloc(1, 1);
  kept[1] = aligned_alloc(64, 64);
  assert_null(kept[0]);
  assert_null(kept[1]);
  assert_ptr_equal(mmap(NULL, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MAP_FAILED);
  assert_true(alloc_fail_off());
  alloc_fail_at(1);
  assert_true(alloc_calls() > 0); /* none was made */
  assert_false(alloc_fail_off());
}

static void *allocate(void *n)
{
  for (int i = 0; i < *(int *)n; i++)
    free(calloc(1, 64 + (size_t)i));
  return NULL;
}

static void threads_are_counted_together(void **state)
{
  uint64_t calls = alloc_calls();
  int64_t live = alloc_live();
  pthread_t threads[2];
  int n = 1000;

  (void)state;
  for (int i = 0; i < 2; i++)
    assert_ok(pthread_create(&threads[i], NULL, allocate, &n));
  for (int i = 0; i < 2; i++)
    assert_ok(pthread_join(threads[i], NULL));
  assert_in_range(alloc_calls() - calls, 0, 2000); /* the compiler may leave some out */
  assert_int_equal(alloc_live(), live);
}

static void simulated_ring_survives_each_failing_allocation(void **state)
{
  struct sqcq__ring_config config = {.sq_entries = 8, .cq_entries = 16, .sqpoll_cpu = -1};
  struct sim_config kernel = sim_kernel("6.1");
  struct sqcq__ring_traits traits;
  struct sqcq__ring *ring;

  (void)state;
  sim_configure(&kernel);
  for (uint64_t n = 1;; n++) {
    int64_t live = alloc_live();

    alloc_fail_at(n);
    int error = sqcq__ring_create(&ring, &config, &traits);
    if (!alloc_fail_off()) {
      assert_ok(error);
      assert_true(n > 5);
      break;
    }
    assert_error(error, -ENOMEM);
    assert_int_equal(alloc_live(), live);
  }
  sqcq__ring_destroy(ring);
}

static void simulated_ring_allocates_nothing_once_made(void **state)
{
  struct sim_config kernel = sim_kernel("6.1");
  int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  struct sqcq__ring *ring = drive_create(&kernel, 8, 64);
  uint64_t calls = alloc_calls();
  char data[8][64];

  (void)state;
  assert_ok(sqcq__ring_register_files(ring, 100));
  drive_bind(ring);
  assert_ok(sqcq__ring_update_file(ring, 50, file));
  for (uint64_t i = 0; i < 100; i++) {
    for (uint64_t j = 0; j < 4; j++)
      drive_read(ring, file, data[j], 64, i, i * 4 + j);
    drive_cancel(ring, i * 4, i);
    drive_enter(ring);
    struct drive_cqe cqes[64];
    assert_int_equal(drive_reap(ring, cqes), 5);
  }
  assert_int_equal(alloc_calls(), calls);
  drive_close(ring);
  close(file);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(calls_and_blocks_are_counted),
      cmocka_unit_test(mappings_are_counted_in_bytes),
      cmocka_unit_test(nth_call_fails),
      cmocka_unit_test(threads_are_counted_together),
      cmocka_unit_test(simulated_ring_survives_each_failing_allocation),
      cmocka_unit_test(simulated_ring_allocates_nothing_once_made),
  };

  if (!alloc_works())
    test_skip("linked without the --wrap options of support/alloc.h");
  return cmocka_run_group_tests(tests, NULL, NULL);
}
