// On what an online endpoint of Azure ML runs, which decides the status codes that its clients know. No one key always
// says it: whatever does is taken together, and has to agree.
#pragma once

#include "azureml/fields.hpp"

#include <cstdint>
#include <string_view>

namespace scoregate::azureml {

enum class platform : std::uint8_t { unsaid, managed, kubernetes };

struct claim {
    platform of = platform::unsaid;
    config::problem where; // what says so, the message empty
};

// Takes over what `next` claims, if anything; a problem where that is not what was claimed before.
void add_claim(claim& all, const claim& next, report&);

// What $schema and entry `key` (`kind` or `type`) say; both are left to finish(). A schema of something else is
// refused, so is another `key` if that is `binding`.
claim read_platform(fields&, const node& root, std::string_view key, bool binding, report&);

} // namespace scoregate::azureml
