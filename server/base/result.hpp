// Errors are values on the data plane: a value or the failure that prevented it.
#pragma once

#include "base/fault.hpp"

#include <boost/system/result.hpp>

namespace scoregate::base {

template <class T>
using result = boost::system::result<T, failure>;

inline failure fail(fault kind, const char* detail = "", std::uint64_t limit = 0) { return {kind, detail, limit}; }

} // namespace scoregate::base
