// `scoregate status`: asks the admin port of a running scoregate and prints what it says. Blocks; main thread.
#pragma once

#include <string>

namespace scoregate::app {

struct status_command {
    std::string admin;           // its URL
    std::string token_file = {}; // empty: none
    bool watch = false;          // again and again, until a signal ends it
    bool as_json = false;        // {"status": .., "history": ..}, for programs
};

// 0 if it has answered, whatever it says; 1 if not.
int show_status(const status_command&);

} // namespace scoregate::app
