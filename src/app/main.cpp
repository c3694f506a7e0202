#include "app/program.h"

int main(int argc, char** argv) { return maestrale::app::run_program(argc, argv); }
