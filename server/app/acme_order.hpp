// One order of a certificate from an ACME provider (RFC 8555), from the client lego to the pair in its place. What
// `scoregate cert auto` and `cert renew` do, and what the process beside a running scoregate does (acme_runner.hpp).
// Blocks; the state directory is one order's at a time, whichever process makes it.
#pragma once

#include "config/model.hpp"
#include "tls/certificate.hpp"

#include <boost/system/result.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace scoregate::app {

inline constexpr auto acme_client = "lego"; // Debian's package has the same name

struct order_result {
    enum class kind : std::uint8_t {
        issued,  // and in its place
        not_due, // what is in place is good for longer
        failed,
    };
    kind what = kind::failed;
    std::string said; // serial, or why it failed
};

enum class urgency : std::uint8_t { when_due, now };

// `from.domain` is not empty. `line` gets what the client says. Given up when the descriptor `until` can be read.
order_result order_certificate(const config::acme& from, urgency, int until,
                               const std::function<void(std::string_view)>& line);

// The pair in place, if it is one that could be served.
std::shared_ptr<const tls::certificate> issued_certificate(const config::acme&);
// Whether that one is to be renewed by now, or there is none.
bool is_due(const std::shared_ptr<const tls::certificate>&, const config::acme&);

// Makes the directories that an order needs, for this user alone but for the challenges. The error is a sentence.
std::optional<std::string> make_folders(const config::acme&);
// Of `path` what is there: itself, or the nearest of the folders that it would be made in. As far as this user sees it.
std::string there_of(const std::string& path);
// Gives `from` the name that is kept, or draws one and keeps it, where several may start at the same time. True if it
// was drawn here. The error is a sentence.
boost::system::result<bool, std::string> settle_domain(config::acme& from);
// A name that nobody has yet, in all likelihood.
std::string draw_domain(const config::acme&);
// Keeps it for all starts to come. The error is a sentence.
std::optional<std::string> keep_domain(const config::acme&);
// What to do where the name that is kept is of another label or suffix (acme::other_domain), as a sentence.
std::string advice_on_other(const std::string& kept, const config::acme&);

} // namespace scoregate::app
