#include "engine/features.h"

#include "engine/config.h"
#include "engine/ring.h"

#include <errno.h>
#include <stdbool.h>

static const struct {
  const char *name;
  const char *instead;
} texts[SQCQ__FEATURE_COUNT] = {
    [SQCQ__FEATURE_SUBMIT_ALL] = {"SUBMIT_ALL", "the rest of a batch goes with the next enter"},
    [SQCQ__FEATURE_COOP_TASKRUN] = {"COOP_TASKRUN", "the kernel interrupts the I/O thread"},
    [SQCQ__FEATURE_SINGLE_ISSUER] = {"SINGLE_ISSUER", "the kernel locks the ring"},
    [SQCQ__FEATURE_DEFER_TASKRUN] = {"DEFER_TASKRUN", "completions run when the kernel likes"},
    [SQCQ__FEATURE_RING_FD] = {"REGISTERED_RING_FD", "each enter looks up the descriptor"},
    [SQCQ__FEATURE_TIMED_ENTER] = {"EXT_ARG", "sleeps with a timeout are in ppoll"},
    [SQCQ__FEATURE_POLL_MULTISHOT] = {"POLL_MULTISHOT", "the wake poll is armed anew each time"},
    [SQCQ__FEATURE_FIXED_FILES] = {"FIXED_FILES", "reads go through descriptors"},
    [SQCQ__FEATURE_FIXED_BUFFERS] = {"FIXED_BUFFERS", "buffers are pinned read by read"},
    [SQCQ__FEATURE_HUGE_PAGES] = {"HUGE_PAGES", "small pages, or transparent huge ones"},
    [SQCQ__FEATURE_SQPOLL] = {"SQPOLL", "the I/O thread submits"},
    [SQCQ__FEATURE_IOPOLL] = {"IOPOLL", "completions come by interrupt"},
    [SQCQ__FEATURE_NOWAIT] = {"NOWAIT", "SQCQ_READ_NOWAIT is refused"},
    [SQCQ__FEATURE_DONTCACHE] = {"DONTCACHE", "SQCQ_READ_DONTCACHE is refused"},
    [SQCQ__FEATURE_FADVISE] = {"FADVISE", "SQCQ_READ_WILLNEED and _DONTNEED are refused"},
    [SQCQ__FEATURE_IO_WORKERS] = {"IOWQ_MAX_WORKERS", "as many kernel workers as the kernel likes"},
    [SQCQ__FEATURE_EVENTFD] = {"EVENTFD", "the ring polls the wake eventfd: no event loop"},
    [SQCQ__FEATURE_FORK_GUARD] = {"WIPEONFORK", "calls in a forked child are not told"},
};

static void put(struct sqcq__features *features, enum sqcq__feature feature,
                enum sqcq_feature_state state, int error)
{
  sqcq__store_relaxed(&features->words[feature], (uint64_t)(uint32_t)error << 32 | state);
}

void sqcq__features_set(struct sqcq__features *features, enum sqcq__feature feature, int error)
{
  put(features, feature, error == 0 ? SQCQ_FEATURE_ON : SQCQ_FEATURE_REFUSED, error);
}

void sqcq__features_init(struct sqcq__features *features, const struct sqcq__config *config,
                         const struct sqcq__ring_traits *traits)
{
  static const struct {
    enum sqcq__feature feature;
    enum sqcq__ring_group group;
  } groups[] = {
      {SQCQ__FEATURE_SUBMIT_ALL, SQCQ__GROUP_SUBMIT_ALL},
      {SQCQ__FEATURE_COOP_TASKRUN, SQCQ__GROUP_COOP_TASKRUN},
      {SQCQ__FEATURE_SINGLE_ISSUER, SQCQ__GROUP_SINGLE_ISSUER},
      {SQCQ__FEATURE_DEFER_TASKRUN, SQCQ__GROUP_DEFER_TASKRUN},
  };

  for (uint32_t i = 0; i < SQCQ__FEATURE_COUNT; i++)
    put(features, (enum sqcq__feature)i, SQCQ_FEATURE_OFF, 0);
  for (uint32_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
    if (traits->group_on[groups[i].group] || traits->group_error[groups[i].group] != 0)
      sqcq__features_set(features, groups[i].feature, traits->group_error[groups[i].group]);
  }
  sqcq__features_set(features, SQCQ__FEATURE_TIMED_ENTER, traits->timed_enter ? 0 : -EINVAL);
  if ((config->user.flags & SQCQ_ENGINE_SQPOLL) != 0)
    sqcq__features_set(features, SQCQ__FEATURE_SQPOLL, 0);
  if ((config->user.flags & SQCQ_ENGINE_IOPOLL) != 0)
    sqcq__features_set(features, SQCQ__FEATURE_IOPOLL, 0);
  sqcq__features_set(features, SQCQ__FEATURE_NOWAIT, 0); /* 4.14 */
  sqcq__features_set(features, SQCQ__FEATURE_DONTCACHE, traits->dontcache_error);
  if ((config->user.flags & SQCQ_ENGINE_IOPOLL) == 0)
    sqcq__features_set(features, SQCQ__FEATURE_FADVISE, traits->fadvise_error);
}

int sqcq__features_list(const struct sqcq__features *features, struct sqcq_feature *out,
                        uint32_t max)
{
  for (uint32_t i = 0; i < SQCQ__FEATURE_COUNT && i < max; i++) {
    uint64_t word = sqcq__load_relaxed(&features->words[i]);
    bool buffers = i == SQCQ__FEATURE_FIXED_BUFFERS && (uint32_t)word == SQCQ_FEATURE_REFUSED;

    out[i] = (struct sqcq_feature){
        .name = texts[i].name,
        .instead = (uint32_t)word == SQCQ_FEATURE_ON ? "" : texts[i].instead,
        .state = (uint32_t)word,
        .error = (int32_t)(uint32_t)(word >> 32),
        .needed = buffers ? sqcq__load_relaxed(&features->needed) : 0,
        .limit = buffers ? sqcq__load_relaxed(&features->limit) : 0,
    };
  }
  return SQCQ__FEATURE_COUNT;
}
