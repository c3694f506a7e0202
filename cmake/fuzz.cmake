# Every tests/fuzz/fuzz_NAME.cpp: a libFuzzer program where MAESTRALE_FUZZ is on; elsewhere a program that
# replays tests/fuzz/corpus/NAME, run as the test fuzz_NAME.

file(GLOB fuzz_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.cpp)

# The rooms that a source includes: a parser's target is built without the kernels.
function(rooms_of source result)
  file(STRINGS ${source} includes REGEX "^#include \"[a-z]+/")
  list(TRANSFORM includes REPLACE "^#include \"([a-z]+)/.*" "\\1")
  list(REMOVE_DUPLICATES includes)
  set(${result} ${includes} PARENT_SCOPE)
endfunction()

foreach(source ${fuzz_sources})
  get_filename_component(target ${source} NAME_WE)
  string(REGEX REPLACE "^fuzz_" "" name ${target})
  rooms_of(${source} fuzz_rooms)
  if(MAESTRALE_FUZZ)
    program(${target} SOURCES ${source} ROOMS ${fuzz_rooms})
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  else()
    program(${target} SOURCES ${source} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.cpp ROOMS ${fuzz_rooms})
    check(${target} COMMAND ${target} tests/fuzz/corpus/${name})
  endif()
endforeach()
