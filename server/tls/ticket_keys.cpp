#include "tls/ticket_keys.hpp"

#include "tls/openssl_ptr.hpp"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cassert>
#include <stdexcept>

namespace scoregate::tls {

namespace {

constexpr std::chrono::seconds settling{120};
constexpr std::chrono::hours longest_use{12};

} // namespace

// ---- one key, and a set of them -----------------------------------------------------------------------------------

ticket_key ticket_key::random() {
    ticket_key key;
    if (RAND_priv_bytes(key.bytes_.data(), key.bytes_.size()) != 1)
        throw std::runtime_error("TLS: cannot make a session ticket key: " + openssl_errors());
    return key;
}

ticket_key::ticket_key(std::span<const unsigned char, size> bytes) noexcept {
    std::copy(bytes.begin(), bytes.end(), bytes_.begin());
}

ticket_key::~ticket_key() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

ticket_keys::ticket_keys(std::vector<ticket_key> keys, std::size_t encrypting)
    : keys_(std::move(keys)), encrypting_(encrypting) {
    assert(encrypting_ < keys_.size());
}

const ticket_key* ticket_keys::find(std::span<const unsigned char, 16> name) const noexcept {
    const auto found = std::find_if(keys_.begin(), keys_.end(), [name](const auto& key) {
        return std::equal(name.begin(), name.end(), key.name().begin());
    });
    return found != keys_.end() ? &*found : nullptr;
}

// ---- keys of our own ----------------------------------------------------------------------------------------------

own_ticket_keys::own_ticket_keys(time_point now) : keys_{{ticket_key::random(), now}} { publish(); }

bool own_ticket_keys::rotate(time_point now) {
    const auto aged = [now](auto age) { return [now, age](const auto& each) { return now - each.made >= age; }; };
    const bool renewing = aged(session_lifetime)(keys_.back());
    if (renewing) keys_.push_back({ticket_key::random(), now});
    const auto dropped = std::erase_if(keys_, aged(2 * session_lifetime));
    if (!renewing && dropped == 0) return false;
    publish();
    return true;
}

void own_ticket_keys::publish() {
    std::vector<ticket_key> keys;
    for (const auto& each : keys_) keys.push_back(each.key);
    const auto newest = keys.size() - 1;
    current_ = std::make_shared<const ticket_keys>(std::move(keys), newest);
}

// ---- keys that several scoregates share ---------------------------------------------------------------------------

bool shared_ticket_keys::update(const ticket_key_files& files, time_point now) {
    if (!files.problems.empty() || files.keys.empty()) return false;
    std::vector<seen_key> keys;
    for (const auto& [file, key] : files.keys) {
        const auto known =
            std::find_if(keys_.begin(), keys_.end(), [&key = key](const auto& each) { return each.key == key; });
        keys.push_back({file, key, known != keys_.end() ? known->first_seen : now});
    }
    keys_ = std::move(keys);
    return publish(now);
}

bool shared_ticket_keys::advance(time_point now) { return !keys_.empty() && publish(now); }

// Until a key has been here long enough, whatever seals already goes on: the others know it.
std::size_t shared_ticket_keys::choose(time_point now) const {
    for (auto at = keys_.size(); at-- > 0;)
        if (now - keys_[at].first_seen >= settling) return at;
    if (current_)
        for (auto at = keys_.size(); at-- > 0;)
            if (keys_[at].key == current_->encrypting()) return at;
    return keys_.size() > 1 ? keys_.size() - 2 : 0;
}

bool shared_ticket_keys::publish(time_point now) {
    std::vector<ticket_key> keys;
    for (const auto& each : keys_) keys.push_back(each.key);
    auto next = std::make_shared<const ticket_keys>(std::move(keys), choose(now));
    if (current_ && *next == *current_) return false;
    if (!current_ || next->encrypting() != current_->encrypting()) encrypting_since_ = now;
    current_ = std::move(next);
    return true;
}

std::optional<std::string> shared_ticket_keys::overdue(time_point now) const {
    if (!current_ || current_->encrypting() != keys_.back().key || now - encrypting_since_ <= longest_use) return {};
    return "the session ticket key " + keys_.back().file +
           " has sealed tickets for more than 12 hours, and whoever gets hold of it can read every session since; put "
           "a "
           "new key that sorts after it into ticket_keys_dir (openssl rand 80 > NAME.key) and remove the oldest one";
}

} // namespace scoregate::tls
