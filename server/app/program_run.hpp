// Runs another program without a shell, and waits for its end. Single-threaded processes only: the command line, and
// the process that runs the ACME client. Blocks.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::app {

struct program {
    std::vector<std::string> words;       // its name, looked for in PATH, and arguments
    std::vector<std::string> environment; // "NAME=VALUE", over this process's
};

// Each line of stdout and stderr goes to `line`, without its end. Ended with SIGTERM, and soon after with SIGKILL, when
// `limit` is over or the descriptor `until` has something to read or is hung up (-1: none). Nothing if it ended with
// status 0, otherwise why not, as the end of a sentence about it.
std::optional<std::string> run(const program&, std::chrono::seconds limit, int until,
                               const std::function<void(std::string_view)>& line);

// Whether PATH leads to a program of that name.
bool is_installed(const std::string& name);

} // namespace scoregate::app
