/*
 * A second thread, so that an I/O thread can end: it does what it is told while the tape waits, one
 * call after the other. What a tape does stays in one order.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_ACTOR_H
#define SQCQ_TESTS_PROPERTY_TAPE_ACTOR_H

#include "tape.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct tape_actor {
  bool lives;
  uint64_t number; /* the next one has the next */
  pthread_t thread;
  sem_t told, done;
  void (*call)(void *); /* NULL: end */
  void *argument;
};

static struct tape_actor tape_actor = {.number = TAPE_MAIN}; /* goes on from tape to tape */

static inline void *tape_actor_main(void *argument)
{
  struct tape_actor *actor = argument;

  for (;;) {
    while (sem_wait(&actor->told) != 0)
      continue;
    if (actor->call == NULL)
      return NULL;
    actor->call(actor->argument);
    sem_post(&actor->done);
  }
}

/* Its number; a new one where the last has ended. */
static inline uint64_t tape_actor_number(void)
{
  struct tape_actor *actor = &tape_actor;

  if (actor->lives)
    return actor->number;
  actor->number++;
  actor->lives = true;
  sem_init(&actor->told, 0, 0);
  sem_init(&actor->done, 0, 0);
  if (pthread_create(&actor->thread, NULL, tape_actor_main, actor) != 0) {
    perror("pthread_create");
    exit(1);
  }
  return actor->number;
}

static inline void tape_actor_do(void (*call)(void *), void *argument)
{
  tape_actor.call = call;
  tape_actor.argument = argument;
  sem_post(&tape_actor.told);
  while (sem_wait(&tape_actor.done) != 0)
    continue;
}

static inline void tape_actor_end(void)
{
  if (!tape_actor.lives)
    return;
  tape_actor.call = NULL;
  sem_post(&tape_actor.told);
  pthread_join(tape_actor.thread, NULL);
  tape_actor.lives = false;
}

#endif
