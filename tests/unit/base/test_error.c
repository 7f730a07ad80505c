/*
 * Error text and version.
 */
#include <sqcq/sqcq.h>

#include "support/test.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Every errno that some function of sqcq.h documents. */
static const struct {
  int error;
  const char *name;
} documented[] = {
    {EAGAIN, "EAGAIN"},   {EXFULL, "EXFULL"},       {EPIPE, "EPIPE"},
    {ENOBUFS, "ENOBUFS"}, {ESHUTDOWN, "ESHUTDOWN"}, {EBADF, "EBADF"},
    {ESTALE, "ESTALE"},   {EBUSY, "EBUSY"},         {EINVAL, "EINVAL"},
    {EDEADLK, "EDEADLK"}, {EPERM, "EPERM"},         {ENOSPC, "ENOSPC"},
    {ENOSYS, "ENOSYS"},   {ENOMEM, "ENOMEM"},       {EOPNOTSUPP, "EOPNOTSUPP"},
    {EISDIR, "EISDIR"},   {ECANCELED, "ECANCELED"}, {EBADFD, "EBADFD"},
};

static void strerror_of_a_documented_error_names_it(void **state)
{
  for (size_t i = 0; i < sizeof(documented) / sizeof(documented[0]); i++) {
    const char *text = sqcq_strerror(-documented[i].error);

    assert_non_null(text);
    if (strstr(text, documented[i].name) == NULL)
      fail_msg("%s is \"%s\"", documented[i].name, text);
    assert_null(strchr(text, '\n'));
    assert_ptr_equal(sqcq_strerror(documented[i].error), text); /* either sign */
    for (size_t other = 0; other < i; other++)
      assert_string_not_equal(text, sqcq_strerror(documented[other].error));
  }
}

static void strerror_of_zero_is_no_error(void **state)
{
  assert_string_equal(sqcq_strerror(0), "no error");
}

static void strerror_of_another_errno_is_the_systems(void **state)
{
  assert_string_equal(sqcq_strerror(-ENOENT), "No such file or directory");
  assert_string_equal(sqcq_strerror(ENOENT), "No such file or directory");
  assert_string_equal(sqcq_strerror(-EIO), "Input/output error");
}

static void strerror_of_no_errno_is_unknown(void **state)
{
  static const int numbers[] = {INT_MIN, INT_MIN + 1, INT_MAX, -4096, 4096, -4095, 100000, -100000};

  for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
    assert_string_equal(sqcq_strerror(numbers[i]), "unknown error");
}

static void strerror_leaves_errno_alone(void **state)
{
  errno = EXDEV;
  (void)sqcq_strerror(INT_MIN);
  (void)sqcq_strerror(-ENOENT);
  assert_int_equal(errno, EXDEV);
}

static void version_is_that_of_the_header(void **state)
{
  char text[64];

  (void)snprintf(text, sizeof(text), "%d.%d.%d", SQCQ_VERSION_MAJOR, SQCQ_VERSION_MINOR,
                 SQCQ_VERSION_PATCH);
  assert_string_equal(sqcq_version(), text);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(strerror_of_a_documented_error_names_it),
      cmocka_unit_test(strerror_of_zero_is_no_error),
      cmocka_unit_test(strerror_of_another_errno_is_the_systems),
      cmocka_unit_test(strerror_of_no_errno_is_unknown),
      cmocka_unit_test(strerror_leaves_errno_alone),
      cmocka_unit_test(version_is_that_of_the_header),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
