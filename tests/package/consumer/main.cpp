// A user's program in C++17: the header's types behave, its functions link.
#include <cerrno>
#include <cstdio>
#include <string>
#include <type_traits>

#include <sqcq/sqcq.h>

static_assert(std::is_trivially_copyable_v<sqcq_completion>);
static_assert(std::is_standard_layout_v<sqcq_read>);
static_assert(!std::is_convertible_v<sqcq_file, sqcq_buffer>, "handles are types of their own");

int main()
{
  const std::string version = std::to_string(SQCQ_VERSION_MAJOR) + "." +
                              std::to_string(SQCQ_VERSION_MINOR) + "." +
                              std::to_string(SQCQ_VERSION_PATCH);
  if (version != sqcq_version()) {
    std::fprintf(stderr, "header %s, library %s\n", version.c_str(), sqcq_version());
    return 1;
  }

  sqcq_read read{};
  read.length = 4096;
  read.offset = SQCQ_OFFSET_CURRENT;
  if (sqcq_request(nullptr, &read) != -EINVAL) {
    std::fprintf(stderr, "request took no engine\n");
    return 1;
  }
  return 0;
}
