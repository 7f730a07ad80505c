# How things are compiled. Two interface targets, no global flags:
#
#   sqcq_warnings          our own sources, never those of our users
#   sqcq_instrumentation   sanitizers and coverage; reaches every program of this
#                          tree that links the library, and nothing installed

add_library(sqcq_warnings INTERFACE)
target_compile_options(sqcq_warnings INTERFACE
  -Wall
  -Wextra
  -Wpedantic
  -Wcast-align
  -Wconversion
  -Wdouble-promotion
  -Wformat=2
  -Wimplicit-fallthrough
  -Wmissing-prototypes
  -Wold-style-definition
  -Wpointer-arith
  -Wshadow
  -Wstrict-prototypes
  -Wundef
  -Wvla
  -Wwrite-strings
  $<$<C_COMPILER_ID:GNU>:-Wduplicated-branches;-Wduplicated-cond;-Wlogical-op>
  $<$<C_COMPILER_ID:Clang>:-Wno-string-conversion> # SQCQ_ASSERT(!"why")
  $<$<C_COMPILER_ID:Clang>:-Wno-gnu-zero-variadic-macro-arguments> # <sys/sdt.h>
  $<$<BOOL:${SQCQ_WERROR}>:-Werror>)

add_library(sqcq_instrumentation INTERFACE)

if(SQCQ_SANITIZE STREQUAL "thread")
  # ck is inline assembly, which ThreadSanitizer does not see: the shim comes before
  # ck's own header and goes on to it with #include_next. -fno-builtin, because gcc
  # otherwise expands memset and memcmp after the instrumentation.
  set(sanitizer_options -fsanitize=thread -fno-builtin)
  target_include_directories(sqcq_instrumentation SYSTEM BEFORE INTERFACE
    "${CMAKE_CURRENT_SOURCE_DIR}/tests/tsan/include")
elseif(SQCQ_SANITIZE STREQUAL "address,undefined")
  set(sanitizer_options -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(SQCQ_SANITIZE)
  message(FATAL_ERROR "SQCQ_SANITIZE: empty, thread, or address,undefined")
endif()
if(SQCQ_SANITIZE)
  target_compile_options(sqcq_instrumentation INTERFACE
    -O1 -g -fno-omit-frame-pointer ${sanitizer_options}
    # Between instrumented lines gcc loses sight of what is set; the other builds keep the warning.
    $<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(sqcq_instrumentation INTERFACE ${sanitizer_options})
endif()

if(SQCQ_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "SQCQ_FUZZ: libFuzzer is clang's")
  endif()
  target_compile_options(sqcq_instrumentation INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(sqcq_instrumentation INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(SQCQ_COVERAGE)
  # -fprofile-update=atomic: several threads count at once.
  target_compile_options(sqcq_instrumentation INTERFACE -O0 -g --coverage -fprofile-update=atomic)
  target_link_options(sqcq_instrumentation INTERFACE --coverage)
endif()

# Linux's own calls. Empty, so that a file may say `#define _GNU_SOURCE` as well.
set(SQCQ_DEFINITIONS _GNU_SOURCE=)
if(SQCQ_PROBES_IN)
  list(APPEND SQCQ_DEFINITIONS SQCQ_PROBES) # src/base/probe.h
endif()

# Everything that compiles files of src/ goes through here.
function(sqcq_compile target)
  target_compile_definitions(${target} PRIVATE ${SQCQ_DEFINITIONS})
  target_include_directories(${target}
    PUBLIC "${PROJECT_SOURCE_DIR}/include"
    PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(${target} PRIVATE
    sqcq_instrumentation sqcq_warnings PkgConfig::LIBURING PkgConfig::CK)
endfunction()

# Our warnings for every program and library of a directory that was added.
function(sqcq_warn_directory directory)
  get_property(targets DIRECTORY ${directory} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(type ${target} TYPE)
    if(NOT type MATCHES "^(UTILITY|INTERFACE_LIBRARY)$")
      target_link_libraries(${target} PRIVATE sqcq_warnings)
    endif()
  endforeach()
  get_property(directories DIRECTORY ${directory} PROPERTY SUBDIRECTORIES)
  foreach(inner IN LISTS directories)
    sqcq_warn_directory(${inner})
  endforeach()
endfunction()
