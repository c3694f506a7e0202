# room(NAME FLOOR n [USES room…] [LINK target…]): src/NAME/**.cpp becomes the library maestrale_NAME and
# src/NAME/**_test.cpp the test program NAME_test. USES lists the rooms it may include; tools/tidy.py checks
# that each stands on a lower floor and that the includes agree.

add_library(maestrale_flags INTERFACE)
target_include_directories(maestrale_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(maestrale_flags INTERFACE -Wall -Wextra -Wconversion -Werror -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # g++ 12 warns of the paths that TRY leaves by.
  target_compile_options(maestrale_flags INTERFACE -Wno-maybe-uninitialized)
endif()
if(MAESTRALE_SANITIZE)
  set(sanitize -fsanitize=${MAESTRALE_SANITIZE} -fno-sanitize-recover=all)
  target_compile_options(maestrale_flags INTERFACE ${sanitize} -fno-omit-frame-pointer)
  target_link_options(maestrale_flags INTERFACE ${sanitize})
endif()
if(MAESTRALE_FUZZ)
  target_compile_options(maestrale_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

function(room name)
  cmake_parse_arguments(ROOM "" "FLOOR" "USES;LINK" ${ARGN})
  file(GLOB_RECURSE all CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  set(sources ${all})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$|/main\\.cpp$")
  set(tests ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  if(NOT sources)
    return()
  endif()
  add_library(maestrale_${name} STATIC ${sources})
  set_property(GLOBAL APPEND PROPERTY MAESTRALE_ROOMS ${name})
  target_link_libraries(maestrale_${name} PUBLIC maestrale_flags ${ROOM_LINK})
  foreach(used ${ROOM_USES})
    if(TARGET maestrale_${used})
      target_link_libraries(maestrale_${name} PUBLIC maestrale_${used})
    endif()
  endforeach()
  if(tests AND NOT MAESTRALE_FUZZ)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE maestrale_${name} GTest::gtest GTest::gmock GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name}_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  endif()
endfunction()

# isa_kernels(NAME flags…): src/kernels/isa/NAME.cpp is compiled with that instruction set's flags.
function(isa_kernels name)
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/kernels/isa/${name}.cpp PROPERTIES COMPILE_OPTIONS "${ARGN}")
endfunction()

# program(NAME SOURCES file… [ROOMS room…] [LINK target…]): an executable that stands on the named rooms, where they
# exist.
function(program name)
  cmake_parse_arguments(PROGRAM "" "" "SOURCES;ROOMS;LINK" ${ARGN})
  add_executable(${name} ${PROGRAM_SOURCES})
  target_link_libraries(${name} PRIVATE maestrale_flags ${PROGRAM_LINK})
  foreach(used ${PROGRAM_ROOMS})
    if(TARGET maestrale_${used})
      target_link_libraries(${name} PRIVATE maestrale_${used})
    endif()
  endforeach()
endfunction()

# check(NAME COMMAND …): a test that is not a GoogleTest program; it may print `N passed, N failed`.
function(check name)
  cmake_parse_arguments(CHECK "" "" "COMMAND" ${ARGN})
  add_test(NAME ${name} COMMAND ${CHECK_COMMAND} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endfunction()
