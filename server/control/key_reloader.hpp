// The reload units of keys, one for each service that has them, its own or those of the issuer of its tokens, and one
// for the token of the admin port: looks at their files, reads what has changed on a thread of its own, checks it as a
// start would. A unit that is no good keeps what it has and delays no other. Control thread; owned by app::process.
#pragma once

#include "auth/credentials.hpp"
#include "base/background.hpp"
#include "base/executor.hpp"
#include "base/gate.hpp"
#include "config/model.hpp"
#include "control/file_watch.hpp"
#include "control/reload_unit.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace scoregate::control {

// Keys as their files hold them, by service.
struct key_material {
    std::map<std::string, auth::credential_load> loaded; // the admin port's by no name
    config::problems problems;                           // of all of them
    std::vector<std::string> warnings;                   // the same
};

// What a start needs. Blocks on the files. `config_file` is what problems name.
key_material read_keys(const std::vector<config::service>& services, const std::optional<std::string>& admin_token_file,
                       const std::string& config_file);

class key_reloader {
public:
    // `changed` is called when keys other than those of the last adopt() are in force.
    key_reloader(base::executor where, base::background& files, std::function<void()> changed);

    // What `next` names and is not in force yet.
    base::task<key_material> prepare(const config::settings& next);
    // Puts `next` in force with what prepare() or read_keys() found for it, which had no problems. Keys that are in
    // force already stay as they are.
    void adopt(key_material found, const config::settings& next);

    // What a service lets its callers in by; empty if it is open.
    auth::credentials of(const std::string& service) const;

    // Who may use the admin port; null: no token is asked for.
    std::shared_ptr<const auth::service_keys> admin_token() const { return of("").keys; }

    // Reads every unit whose content has changed, because somebody asks: what is no good has failed at once.
    base::task<> reload();
    // Of the units that are no good now.
    config::problems problems() const;
    // Looks for as long as the loop runs.
    base::task<> follow();

    struct service_unit {
        auth::credential_source from;
        reload_unit unit; // "keys:iris", "jwks:iris"
        auth::credentials value;
        base::background::lane lane{};
        bool looking = false; // one look at a time
    };
    const std::map<std::string, std::shared_ptr<service_unit>>& units() const { return units_; }

private:
    void begin_looks(bool insist);
    base::task<> look_at(std::string service, std::shared_ptr<service_unit> one, bool insist);
    base::task<> read(std::string service, std::shared_ptr<service_unit> one, bool insist);
    base::task<> quiet();

    base::executor where_;
    base::background& files_;
    std::function<void()> changed_;
    std::string config_file_;
    std::map<std::string, std::shared_ptr<service_unit>> units_; // by service
    base::background::lane preparing_;
    file_watch watch_;
    base::gate looks_;        // units that are just being looked at
    base::tick_timer looked_; // cancelled when none is
};

} // namespace scoregate::control
