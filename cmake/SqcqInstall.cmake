# What is installed: headers, both libraries, sqcq.pc, find_package(sqcq).
# examples/ installs sqcq-ingest itself.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/sqcq TYPE INCLUDE FILES_MATCHING PATTERN "*.h")

# Two sets, because only the static library drags liburing and ck into its users' link.
install(TARGETS sqcq EXPORT sqcqTargets)
install(TARGETS sqcq_static EXPORT sqcqStaticTargets)

set(cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/sqcq")
foreach(set sqcqTargets sqcqStaticTargets)
  install(EXPORT ${set} NAMESPACE sqcq:: DESTINATION "${cmake_dir}")
endforeach()
configure_package_config_file(cmake/sqcqConfig.cmake.in "${PROJECT_BINARY_DIR}/sqcqConfig.cmake"
  INSTALL_DESTINATION "${cmake_dir}")
# Before 1.0 a new minor version may break its users.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/sqcqConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/sqcqConfig.cmake"
  "${PROJECT_BINARY_DIR}/sqcqConfigVersion.cmake"
  DESTINATION "${cmake_dir}")

# sqcq.pc finds its prefix from where it lies, so that `cmake --install --prefix` and packagers'
# relocations work; absolute directories stay as they are.
set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
set(pc_libdir "${CMAKE_INSTALL_LIBDIR}")
set(pc_includedir "${CMAKE_INSTALL_INCLUDEDIR}")
if(NOT IS_ABSOLUTE "${pc_libdir}")
  file(RELATIVE_PATH pc_up "/${pc_libdir}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" pc_up "${pc_up}")
  set(pc_prefix "\${pcfiledir}/${pc_up}")
  set(pc_libdir "\${prefix}/${pc_libdir}")
endif()
if(NOT IS_ABSOLUTE "${pc_includedir}")
  set(pc_includedir "\${prefix}/${pc_includedir}")
endif()
configure_file(sqcq.pc.in "${PROJECT_BINARY_DIR}/sqcq.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/sqcq.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

# Manual pages: docs/man/NAME.SECTION
file(GLOB pages CONFIGURE_DEPENDS docs/man/*.[1-8])
foreach(page IN LISTS pages)
  string(REGEX MATCH "[1-8]$" section "${page}")
  install(FILES "${page}" DESTINATION "${CMAKE_INSTALL_MANDIR}/man${section}")
endforeach()

install(FILES README.md CHANGELOG.md LICENSE TYPE DOC)
