/* sqcq-test: no-valgrind */
/*
 * Waiting for room, with another thread's part between any two instructions of one: whoever sleeps
 * has been woken once all who gave room back have looked, and a notice is fired or taken back, one of the two.
 */
#include "unit/step.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How often a futex has been woken: wake.c's own system calls are counted on their way. */
static int futex_wakes;
#define syscall(number, address, operation, ...)                                                   \
  (futex_wakes++, syscall((number), (address), (operation), __VA_ARGS__))
#include "dispatch/wake.c"
#undef syscall

#include "dispatch/room.c"

#include "mpsc/credit.h"

#define CAPACITY 2u

struct field {
  struct sqcq__credit credit;
  struct sqcq__room room;
  struct sqcq__rooms rooms;
  uint32_t prepared;
  bool asleep;  /* announced, looked again, found nothing */
  bool unwoken; /* somebody had given back and looked, and the sleeper was still asleep */
  int eventfd;  /* the owner's */
  int fd;       /* the notice's */
  int index;
  uint32_t generation;
  bool armed; /* and its owner found no room */
  bool taken_back;
};

static struct field field;

static void set_up(void)
{
  int eventfd = field.eventfd;
  uint64_t count;

  while (read(eventfd, &count, sizeof(count)) > 0)
    continue;
  struct sqcq__notice *notices = field.rooms.notices;
  field = (struct field){.eventfd = eventfd, .rooms = {.notices = notices, .count = 2}};
  for (int i = 0; i < 2; i++)
    sqcq__store_relaxed(&notices[i].word, 0);
  sqcq__store_relaxed(&field.credit.word, sqcq__word(1, CAPACITY));
  sqcq__store_relaxed(&field.credit.capacity, CAPACITY);
  futex_wakes = 0;
}

static int make(void **state)
{
  field.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return sqcq__rooms_init(&field.rooms, 2);
}

static int unmake(void **state)
{
  sqcq__rooms_fini(&field.rooms);
  close(field.eventfd);
  return 0;
}

static bool has_room(void)
{
  return sqcq__credit_taken(sqcq__load_seq(&field.credit.word)) < CAPACITY;
}

/* As channels do. */
static void give(void *unused)
{
  (void)unused;
  sqcq__credit_give(&field.credit, 1);
  if (sqcq__room_awaited(&field.room) != 0)
    sqcq__room_given(&field.rooms, &field.room, 1,
                     CAPACITY - sqcq__credit_taken(sqcq__load_acquire(&field.credit.word)),
                     CAPACITY);
}

static void fall_asleep(void *unused)
{
  (void)unused;
  sqcq__room_announce(&field.room);
  field.prepared = sqcq__room_prepare(&field.room);
  field.asleep = !has_room();
}

/* Asleep in the futex or on its way there: the one needs the system call, the other the number. */
static bool is_woken(void)
{
  return sqcq__room_prepare(&field.room) != field.prepared && futex_wakes > 0;
}

static void other_gives(void *unused)
{
  give(unused);
  field.unwoken |= field.asleep && !is_woken();
}

static void sleeper_falls_asleep_while_room_is_given_anywhere(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    more = step_at(k, give, fall_asleep, NULL);
    if (field.asleep)
      assert_true(is_woken());
    else if (!more)
      fall_asleep(NULL);
  }
}

static void room_is_given_while_the_sleeper_is_anywhere(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    more = step_at(k, fall_asleep, give, NULL);
    if (field.asleep && more)
      assert_true(is_woken());
  }
}

/* A give-back that is stopped anywhere keeps no other from waking. */
static void giver_stopped_anywhere_keeps_no_other_from_waking(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    fall_asleep(NULL);
    assert_true(field.asleep);
    more = step_at(k, give, other_gives, NULL);
    assert_false(field.unwoken);
    assert_true(is_woken());
  }
}

static void leave(void *unused)
{
  (void)unused;
  sqcq__room_leave(&field.rooms, &field.room, has_room());
}

/* Two announced, one leaves with room there: whatever comes in between, the other one is woken. */
static void leaver_passes_the_baton_whatever_comes_between(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    sqcq__credit_give(&field.credit, 1); /* by one who never looks */
    sqcq__room_announce(&field.room);
    sqcq__room_announce(&field.room);
    field.prepared = sqcq__room_prepare(&field.room);
    field.asleep = true;
    more = step_at(k, leave, other_gives, NULL);
    assert_false(field.unwoken);
    assert_true(is_woken());
    assert_int_equal(sqcq__room_sleepers(sqcq__room_awaited(&field.room)), 1);
  }
}

/* ------------------------------------------------------------------------- */
/* Notices                                                                   */
/* ------------------------------------------------------------------------- */

static bool is_written(void)
{
  struct pollfd watch = {.fd = field.eventfd, .events = POLLIN};

  return poll(&watch, 1, 0) == 1;
}

static void make_notice(void)
{
  field.index = sqcq__notice_make(&field.rooms, &field.generation);
  field.fd = fcntl(field.eventfd, F_DUPFD_CLOEXEC, 0);
}

static void arm(void *unused)
{
  (void)unused;
  sqcq__notice_arm(&field.rooms, (uint32_t)field.index, &field.room, field.fd);
  field.armed = !has_room();
}

static void take_back(void *unused)
{
  (void)unused;
  field.taken_back = sqcq__notice_disarm(&field.rooms, (uint32_t)field.index, field.generation);
}

/* Fired or taken back, closed once, and its place is free. */
static void check_notice_is_gone(void)
{
  uint64_t count = 0;

  if (field.taken_back)
    assert_false(is_written());
  else
    assert_true(read(field.eventfd, &count, sizeof(count)) == sizeof(count) && count == 1);
  assert_int_equal(fcntl(field.fd, F_GETFD), -1);
  assert_int_equal(sqcq__room_notices(sqcq__room_awaited(&field.room)), 0);
  assert_int_equal(sqcq__word_state(sqcq__load_relaxed(&field.rooms.notices[field.index].word)),
                   NOTICE_FREE);
}

static void notice_is_armed_while_room_is_given_anywhere(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    make_notice();
    more = step_at(k, give, arm, NULL);
    if (field.armed)
      assert_true(is_written());
    else if (more)
      take_back(NULL); /* it found room, and may have been fired as well */
    else
      arm(NULL), take_back(NULL);
    check_notice_is_gone();
  }
}

static void room_is_given_while_a_notice_is_being_armed(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    make_notice();
    more = step_at(k, arm, give, NULL);
    if (!more)
      give(NULL);
    if (!field.armed)
      take_back(NULL);
    check_notice_is_gone();
  }
}

static void notice_is_taken_back_while_it_is_fired_anywhere(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    make_notice();
    arm(NULL);
    more = step_at(k, give, take_back, NULL);
    check_notice_is_gone();
  }
}

static void room_is_given_while_a_notice_is_taken_back_anywhere(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    make_notice();
    arm(NULL);
    more = step_at(k, take_back, give, NULL);
    check_notice_is_gone();
  }
}

static void notice_is_fired_once_by_two_at_once(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    make_notice();
    arm(NULL);
    more = step_at(k, give, give, NULL);
    check_notice_is_gone();
  }
}

/* Another one is armed already, so that this one is seen as soon as it is armed itself. */
static void room_is_given_while_a_second_notice_is_being_armed(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    make_notice();
    arm(NULL);
    make_notice();
    more = step_at(k, arm, give, NULL);
    give(NULL);
    if (!more)
      give(NULL); /* there is room for both now */
    if (!field.armed)
      take_back(NULL);
    assert_int_equal(sqcq__room_notices(sqcq__room_awaited(&field.room)), 0);
    for (int i = 0; i < 2; i++)
      assert_int_equal(sqcq__word_state(sqcq__load_relaxed(&field.rooms.notices[i].word)),
                       NOTICE_FREE);
  }
}

#define STEPS_TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
  const struct CMUnitTest tests[] = {
      STEPS_TEST(sleeper_falls_asleep_while_room_is_given_anywhere),
      STEPS_TEST(room_is_given_while_the_sleeper_is_anywhere),
      STEPS_TEST(giver_stopped_anywhere_keeps_no_other_from_waking),
      STEPS_TEST(leaver_passes_the_baton_whatever_comes_between),
      STEPS_TEST(notice_is_armed_while_room_is_given_anywhere),
      STEPS_TEST(room_is_given_while_a_notice_is_being_armed),
      STEPS_TEST(notice_is_taken_back_while_it_is_fired_anywhere),
      STEPS_TEST(room_is_given_while_a_notice_is_taken_back_anywhere),
      STEPS_TEST(notice_is_fired_once_by_two_at_once),
      STEPS_TEST(room_is_given_while_a_second_notice_is_being_armed),
  };
  int skip = step_skip();
  return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
