// What DNS says of a name, and what is made of it over time: plain rules without I/O, with the clock handed in.
#pragma once

#include <boost/asio/ip/address.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace scoregate::control {

struct service_target {
    std::string host; // lower case, without the last dot
    std::uint16_t port;

    friend bool operator==(const service_target&, const service_target&) = default;
};

// Leaves no repetitions and no more than `most`: the same ones of the same many, in whatever order they come. True:
// there were more.
bool restrict_to(std::size_t most, std::vector<service_target>& targets);

// Of one look-up: addresses of a host, or targets of SRV records.
struct name_answer {
    enum class kind : std::uint8_t {
        found,
        none,   // DNS says that there is no such name, or nothing of the kind asked for
        failed, // DNS says nothing: no answer in time, SERVFAIL, refused, nonsense
    };
    kind what = kind::failed;
    std::vector<boost::asio::ip::address> addresses = {};
    std::vector<service_target> targets = {};
    std::chrono::seconds ttl{0}; // of `found`; the least of all records
    bool lacks_v4 = false;       // unless `failed`: nothing was said of these, what is here is of the others
    bool lacks_v6 = false;
    std::string why = {}; // unless `found`
};

// What is known of one name.
class name_record {
public:
    using time_point = std::chrono::steady_clock::time_point;

    // How long a name that had an answer is believed to be still there when DNS says that it is not: a zone that is
    // being rewritten says so for a moment. Not longer, for an address may belong to somebody else by then.
    static constexpr std::chrono::seconds grace{30};

    struct limits {
        std::chrono::seconds min_ttl{1}, max_ttl{60};
    };
    // What is worth a line in the log.
    enum class news : std::uint8_t {
        nothing,
        trouble,  // begins: the first answer that is not `found`
        missing,  // so it does, and the grace of what is known
        removed,  // the grace is over
        recovery, // trouble is over
    };
    struct outcome {
        bool changed; // what is known
        news told;
    };
    outcome take(name_answer answer, time_point now, const limits&);

    // An answer with targets none of which can be reached yet, unless it is known already. True: it is not to be taken;
    // what is known stays, and the name is to be asked for again in a moment. Not for ever if DNS says that the new
    // ones do not exist (`gone`): that is believed after the grace, as of any name.
    bool defer(time_point now, bool gone);

    bool answered() const { return answered_; } // at least once, whatever it was
    bool missing() const { return last_ == name_answer::kind::none; }
    time_point due() const { return due_; } // of the next question
    const std::vector<boost::asio::ip::address>& addresses() const { return addresses_; }
    const std::vector<service_target>& targets() const { return targets_; }

private:
    bool known() const { return !addresses_.empty() || !targets_.empty(); }
    outcome take_found(name_answer, time_point now, const limits&);

    std::vector<boost::asio::ip::address> addresses_; // in the order to be tried
    std::vector<service_target> targets_;
    time_point due_{};
    std::optional<time_point> missing_since_; // `none` for a name that is known, without a pause
    std::optional<time_point> gone_since_;    // the same of new targets
    unsigned failures_ = 0;                   // in a row
    unsigned lacks_ = 0;                      // the same of answers for one family alone
    bool answered_ = false;
    name_answer::kind last_ = name_answer::kind::failed;
};

} // namespace scoregate::control
