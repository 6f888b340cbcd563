// Keeps other processes that ask for the same folder out of it (flock(2)), until it is dropped. It blocks its
// thread: the command line, and the process that runs the ACME client.
#pragma once

#include <chrono>
#include <string>

namespace scoregate::app {

class folder_lock {
public:
    // Waits for whoever has it, then throws std::runtime_error with a sentence: after `patience`, or when the
    // descriptor `until` has something to read or is hung up (-1: none). Where a folder cannot be locked (network file
    // systems that know no such thing; no folder there) it does nothing.
    folder_lock(const std::string& folder, std::chrono::milliseconds patience, int until = -1);
    folder_lock(const folder_lock&) = delete;
    folder_lock& operator=(const folder_lock&) = delete;
    ~folder_lock();

private:
    int descriptor_;
};

} // namespace scoregate::app
