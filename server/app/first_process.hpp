// What the first process of a PID namespace owes to it, as scoregate is in a container without an init. Called once by
// main, before anything that may wait.
#pragma once

namespace scoregate::app {

// As PID 1 (pid_namespaces(7)): no orphan that is handed to it stays a zombie, and SIGINT, SIGQUIT and SIGTERM end it
// from the beginning, with exit status 128 + signal, although the kernel drops what a first process has no handler for.
// Who handles a signal later replaces that. Does nothing in any other process.
void act_as_first_process();

// The same in whatever process it is: for tests.
void take_over_duties_of_first_process();

} // namespace scoregate::app
