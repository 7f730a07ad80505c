/*
 * The simulated ring: kernels ready to use. What each of them has was probed on booted kernels;
 * those between them (5.19, 6.0) are by their documentation.
 */
#include "support/sim_internal.h"

#include <errno.h>
#include <string.h>

#define FLAGS_5_18 IORING_SETUP_SUBMIT_ALL
#define FLAGS_5_19 (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG)
#define FLAGS_6_0 IORING_SETUP_SINGLE_ISSUER
#define FLAGS_6_1 IORING_SETUP_DEFER_TASKRUN

struct kernel {
  const char *version;
  uint32_t setup_refused;
  uint32_t features;
  int32_t ring_fd_error; /* registering the ring's own descriptor (5.18) */
  bool dontcache;        /* 6.14 */
  bool genuine_5_10;     /* later 5.10 have the io_uring of 5.15 */
};

static const struct kernel kernels[SIM_KERNELS] = {
    {"5.10", FLAGS_5_18 | FLAGS_5_19 | FLAGS_6_0 | FLAGS_6_1, 0x7f, -EINVAL, false, true},
    {"5.10.262", FLAGS_5_18 | FLAGS_5_19 | FLAGS_6_0 | FLAGS_6_1, 0x7ff, -EINVAL, false, false},
    {"5.15", FLAGS_5_18 | FLAGS_5_19 | FLAGS_6_0 | FLAGS_6_1, 0x7ff, -EINVAL, false, false},
    {"5.19", FLAGS_6_0 | FLAGS_6_1, 0x1fff, 0, false, false},
    {"6.0", FLAGS_6_1, 0x1fff, 0, false, false},
    {"6.1", 0, 0x1fff, 0, false, false},
    {"6.12", 0, 0xffff, 0, false, false},
    {"6.18", 0, 0x3ffff, 0, true, false},
};

const char *sim_kernel_version(uint32_t number)
{
  return number < SIM_KERNELS ? kernels[number].version : NULL;
}

struct sim_config sim_kernel(const char *version)
{
  struct sim_config config = {.seed = 1, .in_order = true, .cancel = SIM_CANCEL_WINS};

  for (uint32_t i = 0; i < SIM_KERNELS; i++) {
    const struct kernel *kernel = &kernels[i];

    if (strcmp(kernel->version, version) != 0)
      continue;
    config.setup_refused = kernel->setup_refused;
    config.features = kernel->features;
    config.error[SIM_CALL_RING_FD] = kernel->ring_fd_error;
    config.error[SIM_CALL_BOUND_WORKERS] = kernel->genuine_5_10 ? -EINVAL : 0; /* 5.15 */
    config.dontcache_error = kernel->dontcache ? 0 : -EOPNOTSUPP;
    config.no_multishot_poll = kernel->genuine_5_10;
    config.cancel_interrupts = kernel->genuine_5_10;
    config.nonblock_again = kernel->genuine_5_10;
    config.no_null_buffers = kernel->genuine_5_10;
    config.buffers_max = kernel->genuine_5_10 ? 1024 : 16384;
    return config;
  }
  sim__abort("sim_kernel: \"%s\" is not known", version);
}

void sim_unruly(struct sim_config *config, uint64_t seed)
{
  struct rng rng;

  rng_seed(&rng, seed);
  config->seed = seed;
  config->in_order = false;
  config->delay_max = (uint32_t)rng_below(&rng, 6);
  config->completions_max = (uint32_t)rng_below(&rng, 8);
  config->submit_max = rng_percent(&rng, 50) ? 0 : (uint32_t)rng_between(&rng, 1, 8);
  config->short_percent = 20;
  config->error_percent = 5;
  config->again_percent = 5;
  config->poll_end_percent = 20;
  config->cancel = SIM_CANCEL_RANDOM;
  config->eintr_percent = 10;
  config->eagain_percent = 5;
  config->ebusy_percent = 5;
}
