/*
 * What errors mean here, and the version. No state.
 */
#include <sqcq/sqcq.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

static const struct {
  int error;
  const char *text;
} texts[] = {
    {0, "no error"},
    {EAGAIN, "no lane has room for a request, or no cancel is free: try again (EAGAIN)"},
    {EXFULL, "the channel has no free completion slot: its consumer is behind (EXFULL)"},
    {EPIPE, "the channel is closed, or the handle is stale (EPIPE)"},
    {ENOBUFS, "no buffer of the pool is free (ENOBUFS)"},
    {ESHUTDOWN, "the engine is stopping or has stopped (ESHUTDOWN)"},
    {EBADF, "the file is removed or its handle stale, or the descriptor is not readable (EBADF)"},
    {ESTALE, "the buffer's or pool's handle is stale (ESTALE)"},
    {EBUSY, "in use: in flight, still held, or not stopped (EBUSY)"},
    {EINVAL, "an argument is out of range, or a handle of another engine (EINVAL)"},
    {EBADFD, "the lane is closed, or its handle is stale (EBADFD)"},
    {EOWNERDEAD, "the I/O thread ended early: the engine is being stopped (EOWNERDEAD)"},
    {EDEADLK, "the I/O thread would wait for itself (EDEADLK)"},
    {ETIMEDOUT, "the time has passed, and there is no room (ETIMEDOUT)"},
    {EPERM, "forbidden; not the engine's I/O thread, or not its process (EPERM)"},
    {ENOSPC, "a bound given at creation is reached (ENOSPC)"},
    {ENOSYS, "this kernel has no io_uring, or a seccomp filter hides it (ENOSYS)"},
    {ENOMEM, "out of memory, or RLIMIT_MEMLOCK is too small (ENOMEM)"},
    {EOPNOTSUPP, "this mode or hint cannot work here (EOPNOTSUPP)"},
    {EISDIR, "a directory cannot be read (EISDIR)"},
    {ECANCELED, "cancelled (ECANCELED)"},
};

const char *sqcq_strerror(int error)
{
  /* Not -error, which INT_MIN does not have. */
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
    if (error == texts[i].error || error == -texts[i].error)
      return texts[i].text;
  const char *text = strerrordesc_np(error < 0 && error > -4096 ? -error : error);
  return text == NULL ? "unknown error" : text;
}

const char *sqcq_version(void)
{
  return TEXT(SQCQ_VERSION_MAJOR) "." TEXT(SQCQ_VERSION_MINOR) "." TEXT(SQCQ_VERSION_PATCH);
}
