/* sqcq-test: simulated */
/*
 * Histograms: which time belongs to which bucket, and what quantiles make of them.
 */
#include "engine/histogram.h"

#include "support/test.h"

static void bound_is_where_its_bucket_begins(void **state)
{
  for (uint32_t i = 0; i < SQCQ_HISTOGRAM_BUCKETS; i++) {
    uint64_t bound = sqcq_histogram_bound(i);

    assert_int_equal(sqcq__histogram_bucket(bound), i);
    if (i > 0)
      assert_int_equal(sqcq__histogram_bucket(bound - 1), i - 1);
  }
  assert_int_equal(sqcq_histogram_bound(SQCQ_HISTOGRAM_BUCKETS),
                   sqcq_histogram_bound(SQCQ_HISTOGRAM_BUCKETS - 1));
  assert_int_equal(sqcq_histogram_bound(UINT32_MAX),
                   sqcq_histogram_bound(SQCQ_HISTOGRAM_BUCKETS - 1));
}

static void buckets_are_an_eighth_wide_at_the_most(void **state)
{
  for (uint32_t i = 8; i + 1 < SQCQ_HISTOGRAM_BUCKETS; i++) {
    uint64_t bound = sqcq_histogram_bound(i);

    assert_true(sqcq_histogram_bound(i + 1) - bound <= bound / 8);
  }
  /* As the header says. */
  assert_true(sqcq_histogram_bound(SQCQ_HISTOGRAM_BUCKETS - 1) < UINT64_C(1) << 41);
  assert_true(sqcq_histogram_bound(SQCQ_HISTOGRAM_BUCKETS - 1) * 9 / 8 >= UINT64_C(1) << 40);
}

static void bucket_takes_all_times(void **state)
{
  assert_int_equal(sqcq__histogram_bucket(0), 0);
  assert_int_equal(sqcq__histogram_bucket(UINT64_MAX), SQCQ_HISTOGRAM_BUCKETS - 1);
  assert_int_equal(sqcq__histogram_bucket(UINT64_C(1) << 41), SQCQ_HISTOGRAM_BUCKETS - 1);
}

typedef void (*adder)(struct sqcq__histogram *histogram, int64_t ns);

static void add_counts_sums_and_keeps_the_longest(void **state)
{
  static const adder adders[] = {sqcq__histogram_add, sqcq__histogram_add_shared};

  for (uint32_t i = 0; i < 2; i++) {
    static struct sqcq__histogram histogram;
    struct sqcq_histogram out;

    histogram = (struct sqcq__histogram){0};
    adders[i](&histogram, 1000);
    adders[i](&histogram, 3);
    adders[i](&histogram, -5); /* a clock that is behind */
    adders[i](&histogram, 1000);
    sqcq__histogram_read(&histogram, &out);
    assert_int_equal(out.count, 4);
    assert_int_equal(out.sum_ns, 2003);
    assert_int_equal(out.max_ns, 1000);
    assert_int_equal(out.buckets[0], 1);
    assert_int_equal(out.buckets[3], 1);
    assert_int_equal(out.buckets[sqcq__histogram_bucket(1000)], 2);
  }
}

static void quantile_is_the_end_of_its_bucket_and_no_more_than_the_longest(void **state)
{
  static struct sqcq__histogram histogram;
  struct sqcq_histogram out;

  for (int64_t ns = 1; ns <= 1000; ns++)
    sqcq__histogram_add(&histogram, ns * 1000);
  sqcq__histogram_read(&histogram, &out);
  for (uint32_t per_mille = 1; per_mille <= 1000; per_mille++) {
    uint64_t is = sqcq_histogram_quantile(&out, per_mille * 1000);

    assert_true(is >= per_mille * 1000);
    assert_true(is <= per_mille * 1125);
  }
  assert_int_equal(sqcq_histogram_quantile(&out, 1000000), 1000000);
  assert_int_equal(sqcq_histogram_quantile(&out, 0), sqcq_histogram_quantile(&out, 1));
}

static void quantile_of_nothing_is_zero(void **state)
{
  struct sqcq_histogram none = {0}, one = {.count = 1, .sum_ns = 9, .max_ns = 9};

  one.buckets[sqcq__histogram_bucket(9)] = 1;
  assert_int_equal(sqcq_histogram_quantile(NULL, 500000), 0);
  assert_int_equal(sqcq_histogram_quantile(&none, 500000), 0);
  assert_int_equal(sqcq_histogram_quantile(&one, 1000001), 0);
  assert_int_equal(sqcq_histogram_quantile(&one, 1), 9);
}

/* Longer than the last bucket's bound: only the longest is known. */
static void quantile_in_the_last_bucket_is_the_longest(void **state)
{
  static struct sqcq__histogram histogram;
  struct sqcq_histogram out;

  sqcq__histogram_add(&histogram, INT64_MAX);
  sqcq__histogram_read(&histogram, &out);
  assert_int_equal(sqcq_histogram_quantile(&out, 500000), INT64_MAX);
}

/* A reader may come between a writer's steps: the longest is at least what the buckets say. */
static void read_between_two_steps_of_a_writer_has_no_time_beyond_the_longest(void **state)
{
  static struct sqcq__histogram histogram;
  struct sqcq_histogram out;
  uint32_t bucket = sqcq__histogram_bucket(1000);

  sqcq__count(&histogram.buckets[bucket], 1);
  sqcq__histogram_read(&histogram, &out);
  assert_int_equal(out.count, 1);
  assert_int_equal(out.max_ns, sqcq_histogram_bound(bucket));
  assert_int_equal(sqcq_histogram_quantile(&out, 500000), sqcq_histogram_bound(bucket));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bound_is_where_its_bucket_begins),
      cmocka_unit_test(buckets_are_an_eighth_wide_at_the_most),
      cmocka_unit_test(bucket_takes_all_times),
      cmocka_unit_test(add_counts_sums_and_keeps_the_longest),
      cmocka_unit_test(quantile_is_the_end_of_its_bucket_and_no_more_than_the_longest),
      cmocka_unit_test(quantile_of_nothing_is_zero),
      cmocka_unit_test(quantile_in_the_last_bucket_is_the_longest),
      cmocka_unit_test(read_between_two_steps_of_a_writer_has_no_time_beyond_the_longest),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
