// The `tracestate` that goes on with a trace that is continued (https://www.w3.org/TR/trace-context-2/, section 3.3):
// one list of all that the client sent, whole entries only, within 512 characters. Nothing of it is ours. Pure; any
// thread.
#pragma once

#include "http/head.hpp"
#include "http/identifiers.hpp"

#include <string_view>
#include <vector>

namespace scoregate::http {

using trace_state = fixed_text<512>;

// Of the fields `tracestate`, in their order, but for those that `nominated` (a Connection field) names. Empty: there
// is none, or one is malformed, and then none of it is believed. A list that is too long loses entries of more than 128
// characters first, and then others, from its end (section 3.3.1.5).
trace_state read_trace_state(const std::vector<field>& fields, const std::vector<std::string_view>& nominated);

} // namespace scoregate::http
