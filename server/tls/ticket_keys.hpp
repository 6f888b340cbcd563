// The keys that session tickets are sealed with (RFC 5077 4), and who decides which of them seals: scoregate itself
// (own_ticket_keys) or a folder that several scoregates share (shared_ticket_keys). A ticket_keys is immutable and
// shared by every core; the two deciders live on the control thread and take the time from their caller. What leaves
// this file is wiped where it dies.
#pragma once

#include "tls/content_digest.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace scoregate::tls {

// How long a session can be resumed after its full handshake. A key of our own seals tickets for as long and opens them
// for as long again, so none lives longer than 12 h: forward secrecy begins when it is gone.
inline constexpr std::chrono::hours session_lifetime{6};

// 16 bytes name, 32 bytes HMAC-SHA256 key, 32 bytes AES-256 key: the layout of OpenSSL and of nginx's
// ssl_session_ticket_key.
class ticket_key {
public:
    static constexpr std::size_t size = 80;

    static ticket_key random(); // throws std::runtime_error when the random generator fails
    explicit ticket_key(std::span<const unsigned char, size> bytes) noexcept;
    ticket_key(const ticket_key&) noexcept = default;
    ticket_key& operator=(const ticket_key&) noexcept = default;
    ~ticket_key(); // wipes

    std::span<const unsigned char, 16> name() const noexcept { return bytes().first<16>(); }
    std::span<const unsigned char, 32> hmac() const noexcept { return bytes().subspan<16, 32>(); }
    std::span<const unsigned char, 32> aes() const noexcept { return bytes().last<32>(); }

    friend bool operator==(const ticket_key&, const ticket_key&) noexcept = default;

private:
    ticket_key() noexcept = default;
    std::span<const unsigned char, size> bytes() const noexcept { return bytes_; }

    std::array<unsigned char, size> bytes_{};
};

class ticket_keys {
public:
    // `keys`: newest last, names all different; `encrypting` is an index of it.
    ticket_keys(std::vector<ticket_key> keys, std::size_t encrypting);

    const ticket_key& encrypting() const noexcept { return keys_[encrypting_]; }
    // Null if there is none of that name; the answer belongs to the set.
    const ticket_key* find(std::span<const unsigned char, 16> name) const noexcept;
    std::size_t size() const noexcept { return keys_.size(); }

    friend bool operator==(const ticket_keys&, const ticket_keys&) noexcept = default;

private:
    std::vector<ticket_key> keys_;
    std::size_t encrypting_;
};

// Random keys that no one else has. Throws std::runtime_error when the random generator fails.
class own_ticket_keys {
public:
    using time_point = std::chrono::steady_clock::time_point;

    explicit own_ticket_keys(time_point now);
    // Takes a new key and drops an old one when it is time; true if current() has changed. Call it every few seconds.
    bool rotate(time_point now);
    std::shared_ptr<const ticket_keys> current() const noexcept { return current_; }

private:
    struct aged_key {
        ticket_key key;
        time_point made;
    };
    void publish();

    std::vector<aged_key> keys_; // newest last
    std::shared_ptr<const ticket_keys> current_;
};

// What a ticket_keys_dir holds: files NAME.key of 80 bytes, by name, the last is the newest.
struct ticket_key_files {
    std::vector<std::pair<std::string, ticket_key>> keys; // file name without the folder, key
    std::vector<std::string> problems; // sentences with remedies; any one means that the set is not to be used
    std::vector<std::string> warnings;
    content_digest content{}; // of names, bytes and problems
};

// Blocks on the files: control thread. Follows symbolic links, leaves out names that begin with a dot (Kubernetes keeps
// its versions of a volume under such names). Never throws for what the folder holds.
ticket_key_files read_ticket_keys(const std::string& directory);

// All keys of the folder open tickets. The newest seals them only after it has been here for 120 s, so that every
// scoregate that shares the folder can open them by then.
class shared_ticket_keys {
public:
    using time_point = std::chrono::steady_clock::time_point;

    // Takes over what was read, unless it has a problem: then the last good set stays. True if current() has changed.
    bool update(const ticket_key_files& files, time_point now);
    // Time alone can change which key seals; true if it has. Call it every few seconds.
    bool advance(time_point now);
    std::shared_ptr<const ticket_keys> current() const noexcept { return current_; } // null before the first good set
    // A sentence once the newest key has sealed for more than 12 h, as long as this process knows.
    std::optional<std::string> overdue(time_point now) const;

private:
    struct seen_key {
        std::string file;
        ticket_key key;
        time_point first_seen;
    };
    std::size_t choose(time_point now) const;
    bool publish(time_point now);

    std::vector<seen_key> keys_; // newest last
    std::shared_ptr<const ticket_keys> current_;
    time_point encrypting_since_{};
};

} // namespace scoregate::tls
