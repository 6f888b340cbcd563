// Owner of a file descriptor, for those that nothing else owns yet.
#pragma once

#include <unistd.h>
#include <utility>

namespace scoregate::base {

class descriptor {
public:
    descriptor() = default;
    explicit descriptor(int owned) : number_(owned) {}
    descriptor(descriptor&& other) noexcept : number_(other.release()) {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~descriptor() {
        if (number_ >= 0) ::close(number_);
    }

    explicit operator bool() const { return number_ >= 0; }
    int number() const { return number_; }
    // The caller's from here on.
    int release() { return std::exchange(number_, -1); }

private:
    int number_ = -1;
};

} // namespace scoregate::base
