# Toolchain: aarch64 from any Debian machine, with gcc-aarch64-linux-gnu. scripts/aarch64-root fetches the
# libraries. Tests run under qemu-user where it is there; it has no io_uring.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)

set(root "${CMAKE_CURRENT_LIST_DIR}/../build/aarch64-root")
get_filename_component(root "${root}" ABSOLUTE)
set(libraries "${root}/usr/lib/aarch64-linux-gnu")
if(NOT EXISTS "${libraries}")
  message(FATAL_ERROR "no arm64 libraries in ${root}: scripts/aarch64-root fetches them")
endif()

set(CMAKE_FIND_ROOT_PATH "${root}" /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_DIR} "")
set(ENV{PKG_CONFIG_LIBDIR} "${libraries}/pkgconfig")
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${root}")

find_program(qemu_user NAMES qemu-aarch64-static qemu-aarch64)
if(qemu_user)
  set(CMAKE_CROSSCOMPILING_EMULATOR
    "${qemu_user};-L;/usr/aarch64-linux-gnu;-E;LD_LIBRARY_PATH=${libraries}")
endif()
