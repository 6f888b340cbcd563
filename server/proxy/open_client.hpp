// Client connections as their core sees them: they can be told to end, and those that wait for their clients stand in
// line, so that whoever has waited longest makes way when there are too many. One core's thread.
#pragma once

#include <boost/intrusive/list.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace scoregate::proxy {

class waiting_clients;

class open_client
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    explicit open_client(bool over_tls) : over_tls_(over_tls) {}
    open_client(const open_client&) = delete;
    open_client& operator=(const open_client&) = delete;
    virtual ~open_client() { stop_waiting(); }
    // One more request at most, which is answered with Connection: close: it may be on its way.
    virtual void finish() = 0;
    // The core has begun to drain: one more request that is on its way is answered, with Connection: close.
    virtual void drain() = 0;
    // Closes now, whatever is under way.
    virtual void cut() = 0;
    // Of one that waits: closes, because others need what it takes. False: its client has sent something that has not
    // been looked at.
    virtual bool make_way() = 0;

    bool over_tls() const { return over_tls_; }
    void stop_waiting();

private:
    friend class waiting_clients;
    boost::intrusive::list_member_hook<> place_;
    waiting_clients* waits_in_ = nullptr;
    std::int64_t waits_since_ = 0;
    bool over_tls_;
};

// Those that wait for the same, who came first is first.
class waiting_clients {
public:
    static constexpr std::int64_t nobody = std::numeric_limits<std::int64_t>::max();

    waiting_clients() = default;
    waiting_clients(const waiting_clients&) = delete;
    waiting_clients& operator=(const waiting_clients&) = delete;
    ~waiting_clients() { line_.clear(); }

    void add(open_client& one) {
        one.stop_waiting();
        one.waits_in_ = this;
        one.waits_since_ = std::chrono::steady_clock::now().time_since_epoch().count();
        line_.push_back(one);
        ++size_;
        publish();
    }
    std::size_t size() const { return size_; }
    // The first leaves the line and makes way. False if it is we who keep it waiting: then it is the last from now on.
    // Somebody is in line.
    bool evict_first() {
        auto& first = line_.front();
        first.stop_waiting();
        if (first.make_way()) return true;
        add(first);
        return false;
    }
    // Since when the first has waited, in ticks of the steady clock, or nobody. Any thread.
    std::int64_t since() const { return since_.load(std::memory_order_relaxed); }

private:
    friend class open_client;
    void remove(open_client& one) {
        line_.erase(line_.iterator_to(one));
        one.waits_in_ = nullptr;
        --size_;
        publish();
    }
    void publish() { since_.store(line_.empty() ? nobody : line_.front().waits_since_, std::memory_order_relaxed); }

    using member =
        boost::intrusive::member_hook<open_client, boost::intrusive::list_member_hook<>, &open_client::place_>;
    boost::intrusive::list<open_client, member, boost::intrusive::constant_time_size<false>> line_;
    std::size_t size_ = 0;
    std::atomic<std::int64_t> since_{nobody};
};

inline void open_client::stop_waiting() {
    if (waits_in_ != nullptr) waits_in_->remove(*this);
}

} // namespace scoregate::proxy
