// How a property says that it is broken.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace scoregate::fuzz {

inline void must(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken property: %s\n", what);
    std::abort();
}

} // namespace scoregate::fuzz
