#include "app/first_process.hpp"

#include <csignal>
#include <initializer_list>
#include <unistd.h>

namespace scoregate::app {

namespace {

constexpr int killed_by = 128; // as shells and container engines have it

extern "C" void end_by(int number) { ::_exit(killed_by + number); }

} // namespace

void take_over_duties_of_first_process() {
    // The kernel reaps the children of who ignores their end (wait(2)); who asks for one's end has to undo it
    // meanwhile.
    std::signal(SIGCHLD, SIG_IGN);
    for (const int number : {SIGINT, SIGQUIT, SIGTERM}) std::signal(number, end_by);
}

void act_as_first_process() {
    if (::getpid() == 1) take_over_duties_of_first_process();
}

} // namespace scoregate::app
