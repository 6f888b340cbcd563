// What no part of a running scoregate needs is taken from it for good, so that whoever comes to run code in it finds
// little to go on with: new privileges (no_new_privs, prctl(2)), and by a seccomp filter the system calls that start
// programs, look into other processes, change the system, or reach parts of the kernel that a proxy never touches.
// docs/decisions/0013-what-a-running-scoregate-gives-up.md says why it is a list of what is denied.
#pragma once

#include <optional>
#include <string>

namespace scoregate::app {

// All threads that there are and will be. The error is a sentence; the process is then as free as before, or partly.
std::optional<std::string> confine();

} // namespace scoregate::app
