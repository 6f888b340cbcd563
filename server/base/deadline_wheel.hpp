// Deadlines of one core on a hashed wheel: one coarse tick expires them all, no timer per operation. Arming stores a
// number; a deadline that is armed again for later is moved only when its old slot comes by. One thread.
//
// A deadline that fires keeps firing each tick until it is armed or disarmed: a callback that cancels a socket cannot
// be missed by a coroutine that was just not waiting.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace scoregate::base {

class deadline_wheel;

class deadline {
public:
    using callback = void (*)(void* owner); // may cancel sockets and arm its own deadline; touches no other

    deadline(deadline_wheel& wheel, void* owner, callback expired) : wheel_(wheel), owner_(owner), expired_(expired) {}
    ~deadline() { unlink(); }
    deadline(const deadline&) = delete;
    deadline& operator=(const deadline&) = delete;

    // Fires no earlier than `after` from now and at most two ticks later. Replaces what was armed, clears fired().
    void arm(std::chrono::milliseconds after);
    void disarm() {
        expiry_ = never;
        fired_ = false;
    }
    bool armed() const { return expiry_ != never; }
    bool fired() const { return fired_; }

private:
    friend class deadline_wheel;
    static constexpr std::uint64_t never = ~std::uint64_t{0};

    void unlink();

    deadline_wheel& wheel_;
    void* owner_;
    callback expired_;
    deadline* previous_ = nullptr;
    deadline* next_ = nullptr;
    std::uint64_t expiry_ = never; // tick at which it fires
    std::uint64_t visit_ = never;  // tick at which its slot is looked at; never when not linked
    bool fired_ = false;
};

class deadline_wheel {
public:
    static constexpr std::chrono::milliseconds tick_length{50};

    deadline_wheel() = default;
    deadline_wheel(const deadline_wheel&) = delete;
    deadline_wheel& operator=(const deadline_wheel&) = delete;

    // Advances to `elapsed` since the wheel's beginning and fires what is due. Called by the core's tick.
    void advance(std::chrono::milliseconds elapsed);

private:
    friend class deadline;
    static constexpr std::size_t slot_count = 1024;

    void link(deadline&, std::uint64_t visit);
    void visit(std::uint64_t tick);

    std::array<deadline*, slot_count> slots_{};
    std::uint64_t now_ = 0;
};

} // namespace scoregate::base
