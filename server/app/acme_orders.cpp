#include "app/acme_orders.hpp"

#include "app/printable.hpp"
#include "control/time_text.hpp"
#include "telemetry/log.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace scoregate::app {

namespace {

using std::chrono::steady_clock;
using std::chrono::system_clock;

// The clock of certificates is set now and then, which no timer notices.
constexpr std::chrono::seconds between_looks{1};

} // namespace

acme_orders::acme_orders(base::executor where, std::unique_ptr<acme_runner> runner, config::acme from,
                         surroundings around)
    : where_(where), runner_(std::move(runner)), from_(std::move(from)), around_(std::move(around)), timer_(where) {}

acme_time acme_orders::next_attempt() const {
    const auto now = system_clock::now();
    const auto one = around_.in_force();
    const auto due = one ? renewal_of(one->not_before(), one->not_after(), from_.renew_before) : now;
    return std::max(due, now + std::chrono::duration_cast<system_clock::duration>(not_before_ - steady_clock::now()));
}

base::task<> acme_orders::run() {
    for (;;) {
        if (failures_ != 0 && !is_due(around_.in_force(), from_)) forget_failures(); // somebody has ordered by hand
        notice_end_of_runner();
        if (around_.wanted() && system_clock::now() >= next_attempt()) co_await attempt();
        timer_.expires_after(between_looks);
        co_await timer_.async_wait(base::awaited);
    }
}

base::task<> acme_orders::attempt() {
    telemetry::log().info("acme: a certificate for {} is ordered from {}", from_.domain, from_.directory);
    ordering_ = true;
    auto result = co_await runner_->order();
    if (result.what != order_result::kind::failed) co_await around_.look();
    ordering_ = false;
    if (result.what != order_result::kind::failed && is_due(around_.in_force(), from_)) {
        result.what = order_result::kind::failed;
        result.said = "the certificate in place, serial " + result.said + ", was not taken: the log says why";
    }
    if (result.what == order_result::kind::failed) {
        fail(printable(result.said));
        co_return;
    }
    forget_failures();
    if (result.what != order_result::kind::issued) co_return; // by another process
    ++succeeded_;
    telemetry::log().info("acme: issued: serial {} for {}", result.said, from_.domain);
}

// A confined process cannot start it anew. What is due is attempted all the same, so that failures are counted.
void acme_orders::notice_end_of_runner() {
    if (!runner_->gone() || std::exchange(runner_gone_, true)) return;
    telemetry::log().error("acme: {}; until then no certificate is ordered", acme_runner::gone_sentence);
}

void acme_orders::forget_failures() {
    failures_ = 0;
    not_before_ = {};
    last_error_.clear();
}

void acme_orders::fail(std::string why) {
    ++failed_;
    ++failures_;
    const auto pause = pause_after(failures_, std::uniform_real_distribution<>(0, 1)(chance_));
    not_before_ = steady_clock::now() + pause;
    last_error_ = std::move(why);
    telemetry::log().error("acme: no certificate for {}: {}; the next attempt is in {} s", from_.domain, last_error_,
                           pause.count());
}

nlohmann::json acme_orders::status() const {
    const bool there = around_.in_force() != nullptr;
    nlohmann::json made{{"domain", from_.domain}, {"failures", failures_}};
    made["state"] = runner_gone_     ? "runner_gone"
                    : ordering_      ? "ordering"
                    : failures_ != 0 ? "failing"
                    : there          ? "issued"
                                     : "awaiting";
    made["certificate"] = there;
    if (!runner_gone_) made["next_attempt"] = control::to_text(next_attempt());
    if (runner_gone_)
        made["last_error"] = acme_runner::gone_sentence;
    else if (!last_error_.empty())
        made["last_error"] = last_error_;
    return made;
}

} // namespace scoregate::app
