// Reads a small file whole into room of the caller's, who may want to wipe it. Blocks on the file: start-up or control
// thread. Never throws for what is there or not.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace scoregate::auth {

struct file_read {
    std::size_t size = 0; // as large as the room: the file may go on behind it
    bool readable_by_others = false;
    std::string defect; // why it could not be read, and what to do; empty if it could
};

// `holds` is what people know the file for ("the key"), `making` what to do where there is none yet.
file_read read_file(const std::string& path, std::span<char> room, const char* holds, const std::string& making);

// The warning where a secret file is readable_by_others.
std::string open_to_all(const std::string& path, const char* danger);

} // namespace scoregate::auth
