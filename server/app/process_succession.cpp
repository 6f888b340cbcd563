// Where a process gets its listening sockets from, and to whom it leaves them. Control thread.
#include "app/machine.hpp"
#include "app/process.hpp"
#include "config/forms.hpp"
#include "telemetry/log.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <utility>

namespace scoregate::app {

namespace {

// How long a predecessor may take to hand its sockets over; it only has to send them.
constexpr std::chrono::seconds patience_with_predecessor{5};

bool listens(const found_socket& one) {
    int does = 0;
    socklen_t size = sizeof does;
    return ::getsockopt(one.socket.number(), SOL_SOCKET, SO_ACCEPTCONN, &does, &size) == 0 && does != 0;
}

bool serves_https(const std::vector<found_socket>& some) {
    return std::any_of(some.begin(), some.end(), [](const auto& each) {
        return each.asked && each.asked->serves == purpose::https && listens(each);
    });
}

} // namespace

// No upgrade closes a port that clients use.
bool process::would_close_https() {
    if (insecure_ || !tls_.awaits_issue() || !serves_https(predecessor_->sockets())) return false;
    const auto& pair = tls_.pairs().front()->files;
    telemetry::log().error("process {} serves HTTPS, which this one would close until a certificate for {} has been "
                           "issued: put the pair that is in use at {} and {}, to be renewed when it is due, and hand "
                           "over then; or stop and start",
                           predecessor_->process(), pair.cname, pair.certificate, pair.key);
    return true;
}

bool process::meet_predecessor() {
    if (before_.takeover) {
        auto asked = predecessor::ask(*before_.takeover, patience_with_predecessor,
                                      account_ ? std::optional(account_->user) : std::nullopt);
        if (!asked) {
            telemetry::log().error("{}", asked.error());
            return false;
        }
        predecessor_ = std::move(*asked);
        if (predecessor_ && would_close_https()) return false;
        successors_.emplace(
            where(), *before_.takeover, [this] { return offer_sockets(); },
            [this](pid_t successor, const std::vector<std::size_t>& taken) { hand_over(successor, taken); },
            [this] { reassert_listeners(); });
        // As who it will be: then the name is that user's, to be renamed and removed.
        std::optional<acting_as> other;
        if (account_) other.emplace(*account_);
        if (const auto wrong = successors_->prepare()) {
            telemetry::log().error("{}{}", *wrong,
                                   account_ ? "; its folder has to be that of user " + account_->name : "");
            return false;
        }
    }
    if (predecessor_) found_ = std::move(predecessor_->sockets());
    for (auto& each : before_.passed) found_.push_back(std::move(each));
    return true;
}

// Found or bound anew; what is wrong is logged.
std::optional<listening> process::open(const request_to_listen& wanted, std::optional<std::size_t> place) {
    if (place) {
        auto& found = found_[*place];
        if (found.asked) taken_.push_back(*place);
        if (found.asked && found.asked->configured != wanted.configured && found.bound != wanted.configured)
            telemetry::log().warn("{} is taken over for {}: IPv6 is not accepted until scoregate has been stopped and "
                                  "started again",
                                  config::to_text(found.bound), config::to_text(wanted.configured));
        return listening{found.socket.release(), config::to_text(found.bound), wanted.configured};
    }
    auto opened = listen_on(wanted.configured);
    if (opened) return std::move(*opened);
    const char* advice = "";
    if (opened.error().in_use && !before_.takeover)
        advice = " (a running scoregate that was started with --takeover hands its sockets over)";
    else if (opened.error().in_use && !predecessor_)
        advice = ", by who does not listen at the socket of --takeover";
    telemetry::log().error("{}{}", opened.error().sentence, advice);
    return std::nullopt;
}

bool process::open_sockets() {
    std::vector<request_to_listen> wanted;
    for (const auto& each : settings_.listen_on.https) wanted.push_back({purpose::https, each});
    for (const auto& each : settings_.listen_on.http) wanted.push_back({purpose::http, each});
    if (settings_.admin.listen) wanted.push_back({purpose::admin, *settings_.admin.listen});
    const auto places = match_sockets(found_, wanted);
    bool all = true;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        auto opened = open(wanted[i], places[i]);
        if (!opened)
            all = false;
        else if (wanted[i].serves == purpose::admin)
            admin_socket_ = std::move(opened);
        else
            entries_.push_back(
                {wanted[i].serves == purpose::https ? proxy::entrance::https : proxy::entrance::http, *opened});
    }
    if (!account_for_found()) all = false;
    limit_connections();
    return all;
}

// Sockets that the configuration has no use for: false if that is an error. They are closed.
bool process::account_for_found() {
    bool all = true;
    for (std::size_t i = 0; i < found_.size(); ++i) {
        const auto& each = found_[i];
        const auto where = config::to_text(each.bound);
        if (!each.socket) continue;
        if (each.asked) {
            telemetry::log().warn("{} {} was served until now and is not in this configuration: process {} serves what "
                                  "is queued there, and closes it",
                                  to_text(each.asked->serves), where, predecessor_->process());
            continue;
        }
        // The predecessor may have had it from the same hands.
        if (std::any_of(taken_.begin(), taken_.end(), [&](std::size_t n) { return found_[n].bound == each.bound; }))
            continue;
        telemetry::log().error("LISTEN_FDS passes a socket that listens on {}, which neither listen.https, listen.http "
                               "nor admin.listen names: name it there, or take it from the socket unit",
                               where);
        all = false;
    }
    found_.clear();
    return all;
}

void process::limit_connections() {
    const auto open_files = raise_open_files();
    dealing_.most_descriptors = descriptors_for_clients(open_files);
    most_replica_descriptors_ = descriptors_for_replicas(open_files);
    dealing_.most_connections = settings_.limits.max_connections;
    if (const auto most = connections_for(open_files); most < dealing_.most_connections) {
        telemetry::log().warn(
            "limits.max_connections is lowered from {} to {}: the limit of open files is {}; raise it "
            "(ulimit -n, LimitNOFILE=) or lower the setting",
            settings_.limits.max_connections, most, open_files);
        dealing_.most_connections = most;
    }
}

// The listeners accept and readiness is given: the predecessor may go, and a successor come.
void process::serves() {
    const bool goes_on = stage_ == stage::serving; // no signal has come meanwhile
    if (goes_on && successors_ && !successors_->publish())
        telemetry::log().error(
            "{} cannot be made: {}; no successor can take over until its folder is mended and this is started anew",
            *before_.takeover, std::strerror(errno));
    announce();
    if (goes_on) order_certificates();
    if (!goes_on || !predecessor_) return;
    if (predecessor_->confirm(taken_))
        telemetry::log().info("took over {} listening sockets from process {}, which drains now", taken_.size(),
                              predecessor_->process());
    else
        telemetry::log().warn("process {} has ended before it was told to", predecessor_->process());
    predecessor_.reset();
    settle_scoring_port();
}

offer process::offer_sockets() const {
    offer made;
    const auto add = [&made](purpose serves, const listening& socket) {
        const auto bound = address_of(socket.descriptor);
        if (!bound || made.sockets.size() == most_offered) return; // a successor then binds it, or says that it cannot
        made.sockets.push_back({{serves, socket.configured}, *bound});
        made.descriptors.push_back(socket.descriptor);
    };
    for (const auto& each : entries_)
        add(each.through == proxy::entrance::https ? purpose::https : purpose::http, each.socket);
    if (admin_socket_) add(purpose::admin, *admin_socket_);
    return made;
}

// The successor accepts where it has taken the socket: from there on what is queued is its. Elsewhere this process
// takes what is queued, as in any drain.
void process::hand_over(pid_t successor, const std::vector<std::size_t>& taken) {
    if (stage_ > stage::grace) return;
    telemetry::log().info("process {} has taken over {} listening sockets", successor, taken.size());
    followed_ = true;
    handed_over_.assign(entries_.size(), false);
    for (const auto place : taken) {
        if (place < entries_.size())
            handed_over_[place] = true;
        else if (admin_)
            admin_->leave();
    }
    base::spawn(where(), tasks_, drain_for_successor());
}

// Without a grace, and ready to the end: both are for load balancers, and for them nothing changes.
base::task<> process::drain_for_successor() {
    telemetry::log().info("draining: requests in flight have {} ms", reloader_.running().timeouts.drain.count());
    co_await end_requests();
}

} // namespace scoregate::app
