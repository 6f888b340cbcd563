// Counts itself, to tell what is left of the frames of a coroutine.
#pragma once

namespace scoregate::tests {

struct counted {
    explicit counted(int& count) : of(count) { ++of; }
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;
    ~counted() { --of; }
    int& of;
};

} // namespace scoregate::tests
