# slipway_library(NAME SOURCES... PUBLIC targets... PRIVATE targets...): one static library per folder. What another room
# may include follows from what is PUBLIC here; tests/lint/include_direction checks the same for the headers' paths.
function(slipway_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(slipway_${name} STATIC ${ARG_SOURCES})
  target_include_directories(slipway_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(slipway_${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  target_compile_options(slipway_${name} PRIVATE ${SLIPWAY_WARNINGS})
  target_compile_definitions(slipway_${name} PRIVATE SLIPWAY_VERSION="${PROJECT_VERSION}")
  if(SLIPWAY_FAILPOINTS)
    target_compile_definitions(slipway_${name} PRIVATE SLIPWAY_FAILPOINTS)
  endif()
endfunction()

# slipway_test(NAME SOURCES... LINK targets... LABELS labels...): one test program, each TEST() a ctest of its own, or all of them one
# (WHOLE) where they share a server that takes its time to start.
function(slipway_test name)
  cmake_parse_arguments(ARG "SERIAL;WHOLE" "TIMEOUT" "SOURCES;LINK;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest_main)
  target_compile_options(${name} PRIVATE ${SLIPWAY_WARNINGS})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  if(ARG_WHOLE)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} RUN_SERIAL ${ARG_SERIAL})
    return()
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} RUN_SERIAL ${ARG_SERIAL})
endfunction()
include(GoogleTest)
