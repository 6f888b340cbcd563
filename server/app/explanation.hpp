// What `scoregate explain` prints: docs/troubleshooting.md, which is in the binary, so that it is there where no
// network and no browser is. Pure functions over the text of the page; main thread.
#pragma once

#include <string>
#include <string_view>

namespace scoregate::app {

// docs/troubleshooting.md as it was when this was built. CMake makes the source file that defines it.
extern const std::string_view troubleshooting_page;

// The section of the page under the heading `token`, for a terminal: no line over 100 columns but for what must not be
// broken, links by the path of their page, no marks but those around `code`. Empty if there is none.
std::string explanation_of(std::string_view token, std::string_view page = troubleshooting_page);

// Every token in the order of the page, a line each: token, side, the first sentence of its section.
std::string list_of_tokens(std::string_view page = troubleshooting_page);

} // namespace scoregate::app
