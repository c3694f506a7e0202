// The whole command line: reads the arguments, runs one command, renders its error.
#pragma once

namespace maestrale::app {

// Exit code: 0 done, 1 failed, 2 the command line was wrong.
int run_program(int argc, char** argv);

}  // namespace maestrale::app
