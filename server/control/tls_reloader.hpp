// The reload units of TLS, each certificate pair, the folder of ticket keys and the authorities of clients: looks at
// their files, reads what has changed on a thread of its own, checks it as a start would, and hands every core a new
// SSL_CTX. A unit that is no good keeps what it has and delays no other. Control thread; owned by app::process.
#pragma once

#include "base/background.hpp"
#include "base/executor.hpp"
#include "base/gate.hpp"
#include "config/model.hpp"
#include "control/file_watch.hpp"
#include "control/reload_unit.hpp"
#include "tls/certificate_check.hpp"
#include "tls/certificate_store.hpp"
#include "tls/client_trust.hpp"
#include "tls/content_digest.hpp"
#include "tls/expiry.hpp"
#include "tls/ticket_keys.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::control {

// Pairs, ticket keys and authorities as their files hold them.
struct tls_material {
    struct pair {
        config::certificate_files files;
        tls::certificate_load loaded;
    };
    std::vector<pair> pairs;
    std::optional<tls::ticket_key_files> tickets;  // if there is a folder for them
    std::optional<tls::client_trust_load> clients; // if they are asked for certificates
    config::problems problems;                     // of all of them
    std::vector<std::string> alarms;               // clients will object: log them loudly
    bool outside_validity = false;                 // a leaf is expired or not yet valid
};

// What a start needs of `pairs`, `ticket_keys_dir` and `client_ca`. Blocks on the files. `config_file` is what problems
// name.
tls_material read_tls(const std::vector<config::certificate_files>& pairs,
                      const std::optional<std::string>& ticket_keys_dir,
                      const std::optional<config::client_ca>& client_ca, bool refuse_expired,
                      const std::string& config_file);

// What becomes of connections made under the contexts before. They finish where other clients are trusted now, or
// otherwise: there is no revocation but this, and who goes on asking would keep what he has shown for ever.
enum class open_connections : std::uint8_t { stay, finish };

class tls_reloader {
public:
    // One context for each core; null ones when TLS is off, and while a pair is awaited.
    using publish = std::function<void(std::vector<tls::ssl_ctx_ptr>, open_connections)>;

    tls_reloader(base::executor where, base::background& files, unsigned cores, publish out);

    // What `next` names and is not in force yet.
    base::task<tls_material> prepare(const config::settings& next);
    // Puts `next` in force with what prepare() or read_tls() found for it, which had no problems. Pairs that are in
    // force already stay as they are. Publishes if that changes anything.
    void adopt(tls_material found, const config::settings& next);

    // Reads every unit whose content has changed, once. `insist`: what is no good has failed at once; otherwise it is
    // waited for.
    base::task<> look(bool insist);
    // The same because somebody asks: files that are just being replaced get a moment, then what is no good has failed.
    base::task<> reload();
    // A pair that a provider issues has never been there: with no certificate to show, HTTPS is to stay closed.
    bool awaits_issue() const;
    // Of the units that are no good now. Empty: everything is in force.
    config::problems problems() const;
    // Looks for as long as the loop runs; rotates ticket keys; warns of certificates that expire.
    base::task<> follow();

    struct pair {
        config::certificate_files files;
        reload_unit unit;                              // "certificate:www.contoso.com"
        std::shared_ptr<const tls::certificate> value; // null: awaited from a provider
        bool chain_incomplete = false;
        tls::expiry_stage told = tls::expiry_stage::fine;
        base::background::lane lane{};
        bool looking = false; // one look at a time
    };
    const std::vector<std::shared_ptr<pair>>& pairs() const { return pairs_; } // in the configuration's order
    const std::optional<reload_unit>& tickets() const { return ticket_unit_; } // with a folder only
    const std::optional<reload_unit>& clients() const { return client_unit_; } // if they are asked for certificates

private:
    void begin_looks(bool insist);
    base::task<> quiet();
    base::task<> look_at(std::shared_ptr<pair> one, bool insist);
    base::task<> read(std::shared_ptr<pair> one, bool insist);
    void take(const std::shared_ptr<pair>& one, tls::certificate_load loaded, bool insist);
    void give_up(pair& one);
    base::task<> look_at_tickets(bool insist);
    base::task<> read_tickets(bool insist);
    base::task<> look_at_clients(bool insist);
    base::task<> read_clients(bool insist);
    bool in_force(const std::shared_ptr<pair>& one) const;
    bool rotate_tickets();
    void warn_of_expiry();
    void publish_soon(std::function<void()> tell);
    void publish_contexts();

    base::executor where_;
    base::background& files_;
    unsigned cores_;
    publish publish_;
    std::string config_file_;
    bool refuse_expired_ = false;
    std::vector<std::shared_ptr<pair>> pairs_;
    std::optional<std::string> ticket_folder_;
    std::optional<reload_unit> ticket_unit_;
    tls::own_ticket_keys own_tickets_;
    tls::shared_ticket_keys shared_tickets_;
    bool overdue_told_ = false;
    std::optional<config::client_ca> client_ca_;
    std::optional<reload_unit> client_unit_;
    std::shared_ptr<const tls::client_trust> clients_;
    tls::content_digest published_trust_{}; // its id
    base::background::lane preparing_, ticket_lane_, client_lane_;
    file_watch watch_;
    std::size_t loading_ = 0; // pairs, because they have changed
    base::gate looks_;        // units that are just being looked at
    base::tick_timer looked_; // cancelled when none is
    bool looking_at_tickets_ = false, looking_at_clients_ = false;
    std::vector<std::function<void()>> to_tell_; // once what is to be published soon has been
};

} // namespace scoregate::control
