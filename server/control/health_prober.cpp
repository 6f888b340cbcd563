#include "control/health_prober.hpp"

#include "config/forms.hpp"
#include "http/body.hpp"
#include "http/head.hpp"
#include "telemetry/log.hpp"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

namespace scoregate::control {

namespace {

using base::awaited;
using base::error_code;
using base::task;
using equipment = health_prober::equipment;
using subject = health_prober::subject;
using telemetry::probe_result;
namespace asio = boost::asio;

constexpr http::head_limits head_limits{};
constexpr std::size_t enough = 1 << 20; // bytes of a reply: whoever has sent so many answers, and the rest is not read

// What a probe needs, in the order that lets the slot go before its deployment.
struct assignment {
    std::shared_ptr<equipment> tools;
    std::shared_ptr<subject> of;
    routing::slot slot;
};

std::string to_text(const std::vector<config::status_codes>& expected) {
    std::string text;
    for (const auto& each : expected) text += (text.empty() ? "" : ", ") + config::to_text(each);
    return text;
}

// Without a query, which may hold what is nobody's business.
std::string_view shown(const config::readiness_probe& probe) {
    return std::string_view(probe.path).substr(0, probe.path.find('?'));
}

std::string request_of(const subject& of, const routing::replica& at) {
    const auto& [probe, host_header] = *of.in.terms;
    const auto agent = [](const auto& field) { return http::identify(field.first) == http::field_id::user_agent; };
    std::string request = "GET " + probe.path + " HTTP/1.1\r\nHost: ";
    if (!host_header.empty())
        request += host_header;
    else
        request += at.unix_path.empty() ? of.url.substr(of.url.find("://") + 3) : at.host;
    if (std::none_of(probe.headers.begin(), probe.headers.end(), agent)) request += "\r\nUser-Agent: scoregate";
    request += "\r\nConnection: close\r\n";
    for (const auto& [name, value] : probe.headers) request.append(name).append(": ").append(value).append("\r\n");
    return request + "\r\n";
}

class probing {
public:
    explicit probing(assignment given)
        : given_(std::move(given)),
          time_(given_.tools->wheel, this, [](void* self) { static_cast<probing*>(self)->replica_->cancel(); }),
          in_(given_.tools->buffers) {}
    ~probing() { end(); }
    probing(const probing&) = delete;
    probing& operator=(const probing&) = delete;

    // Empty: it succeeded. Else what the log says of it.
    task<std::string> ask(base::executor where) {
        if (stopped()) co_return std::string();
        const auto& at = given_.slot.where();
        replica_ = std::make_unique<upstream::connection>(where, at.id);
        given_.tools->connections.insert(replica_.get());
        time_.arm(terms().timeout);
        auto ec = co_await replica_->open(at, given_.tools->buffers);
        if (over() || ec) co_return ended("no connection", ec);
        const auto request = request_of(*given_.of, at);
        for (std::string_view rest = request; !rest.empty();) {
            const auto [failed, n] = co_await replica_->async_write_some(asio::buffer(rest), awaited);
            if (over() || failed) co_return ended("it does not take the request", failed);
            rest.remove_prefix(n);
        }
        co_return co_await read_reply();
    }

    // The connection, then the slot.
    void end() {
        time_.disarm();
        if (replica_) given_.tools->connections.erase(replica_.get());
        replica_.reset();
        given_.slot.release();
    }

    bool stopped() const { return given_.tools->stopped; }
    subject& of() { return *given_.of; }

private:
    const config::readiness_probe& terms() const { return given_.of->in.terms->probe; }
    bool over() const { return stopped() || time_.fired(); }

    std::string ended(const std::string& what, error_code ec) const {
        if (over()) return what + " within " + std::to_string(terms().timeout.count()) + " s";
        return what + " (" + ec.message() + ")";
    }

    task<std::string> read_reply() {
        in_.reserve();
        for (;;) {
            if (!take()) co_return "its reply is no HTTP/1.1";
            if (status_ != 0 && (body_.done() || bytes_ >= enough)) break;
            if (in_.writable().empty()) in_.compact();
            if (in_.writable().empty()) in_.reserve(head_limits.bytes);
            const auto room = in_.writable();
            const auto [ec, n] = co_await replica_->async_read_some(asio::buffer(room.data(), room.size()), awaited);
            in_.commit(n);
            bytes_ += n;
            if (over()) co_return ended("no whole reply", {});
            if (ec == asio::error::eof && status_ != 0 && body_.ends_with_stream()) break;
            if (ec) co_return ended("its reply ended before it was whole", ec);
        }
        const auto expected = [this](const auto& codes) { return codes.first <= status_ && status_ <= codes.last; };
        if (std::any_of(terms().expected.begin(), terms().expected.end(), expected)) co_return std::string();
        co_return std::to_string(status_) + ", expected " + to_text(terms().expected);
    }

    // What it can of what has come. False if that is no HTTP.
    bool take() {
        while (status_ == 0) {
            const auto end = http::find_head_end(in_.readable(), scanned_, head_limits);
            if (!end) return false;
            if (!*end) return bytes_ < enough; // interim replies without end
            http::response_head head;
            if (!head.parse(in_.readable().substr(0, **end), head_limits, http::method::get)) return false;
            in_.consume(**end);
            scanned_ = 0;
            if (head.status < 200) continue;
            status_ = head.status;
            body_ = http::body_decoder(head.body);
        }
        if (body_.done()) return true;
        const auto step = body_.decode(in_.data(), in_.size());
        if (step) in_.consume(step->consumed);
        return step.has_value();
    }

    assignment given_;
    base::deadline time_;
    std::unique_ptr<upstream::connection> replica_;
    base::buffer in_;
    http::body_decoder body_;
    std::size_t scanned_ = 0, bytes_ = 0;
    unsigned status_ = 0; // of the final head, once it is there
};

void count(const subject& of, probe_result what) { of.in.metrics->health.probes[static_cast<std::size_t>(what)].add(); }

void conclude(const subject& of, probe_judge::finding what) {
    if (what == probe_judge::finding::ready) of.in.replicas->set_ready(of.id);
    if (what == probe_judge::finding::unready) of.in.replicas->set_unready(of.id);
}

task<> probe(base::executor where, assignment given) {
    probing it(std::move(given));
    auto failure = co_await it.ask(where);
    it.end();
    auto& of = it.of();
    if (it.stopped() || of.retired) co_return;
    const bool good = failure.empty();
    of.failure = std::move(failure);
    count(of, good ? probe_result::success : probe_result::failure);
    conclude(of, good ? of.judge.succeeded() : of.judge.failed());
}

} // namespace

task<> health_prober::run() {
    while (!tools_->stopped) {
        look(std::chrono::steady_clock::now());
        pause_.expires_after(between_looks);
        co_await pause_.async_wait(awaited);
    }
}

void health_prober::look(time_point now) {
    // A reply may be there that this thread had no time to read: what it was busy with is not held against a probe.
    const auto since = now - std::exchange(last_look_, now).value_or(now);
    passed_ += std::min<time_point::duration>(since, 2 * between_looks);
    tools_->wheel.advance(std::chrono::floor<std::chrono::milliseconds>(passed_));
    ++looks_;
    for (const auto& each : assembly_.deployments()) {
        for (const auto& change : each.replicas->advance(now)) {
            if (change.now == routing::standing::ejected) each.metrics->health.ejections.add();
            tell(each, change);
        }
        if (!each.terms) continue;
        for (const auto& one : each.replicas->subjects()) {
            auto& known = subjects_[one.id];
            if (!known || known->in.terms != each.terms) {
                const auto first = known ? known->first_look : now;
                if (known) known->retired = true;
                known = std::make_shared<subject>(
                    subject{one.id, one.url, each, first, probe_judge(each.terms->probe, first)});
            }
            known->seen = looks_;
            known->standing = one.standing;
            known->next = known->judge.look(now, one.answered, one.standing);
        }
    }
    for (auto each = subjects_.begin(); each != subjects_.end();) {
        each->second->retired = each->second->seen != looks_;
        each = each->second->retired ? subjects_.erase(each) : std::next(each);
    }
    begin_due(now);
}

// Whoever waits longest first: when there are too many, each has its turn.
void health_prober::begin_due(time_point now) {
    std::vector<std::shared_ptr<subject>> due;
    std::map<const routing::deployment*, std::size_t> of_deployment; // under way; not those by terms that are no more
    for (const auto& [id, each] : subjects_) {
        if (each->judge.under_way()) ++of_deployment[each->in.replicas.get()];
        if (each->next == probe_judge::step::probe) due.push_back(each);
        if (each->next != probe_judge::step::spare) continue;
        each->judge.spare(now);
        count(*each, probe_result::skipped);
    }
    std::stable_sort(due.begin(), due.end(),
                     [](const auto& a, const auto& b) { return a->judge.due() < b->judge.due(); });
    for (auto& each : due) {
        if (under_way() >= most_at_once || tools_->stopped) return;
        auto& beside = of_deployment[each->in.replicas.get()];
        if (beside >= most_of_deployment) continue;
        auto slot = each->in.replicas->reserve_for_probe(each->id);
        if (!slot) continue; // busy: nothing is known of it, and nothing is asked
        each->judge.begin(now, each->standing);
        ++beside;
        base::spawn(where_, probes_, probe(where_, {tools_, std::move(each), std::move(*slot)}));
    }
}

void health_prober::stop() {
    tools_->stopped = true;
    pause_.cancel();
    for (auto* each : tools_->connections) each->cancel();
}

std::map<std::array<std::string, 3>, std::string> health_prober::failures() const {
    std::map<std::array<std::string, 3>, std::string> all;
    for (const auto& [id, each] : subjects_)
        if (!each->failure.empty())
            all[{each->in.metrics->service(), each->in.metrics->deployment(), each->url}] = each->failure;
    return all;
}

void health_prober::tell(const assembly::watched& of, const routing::deployment::change& what) const {
    const auto name = what.url + " of " + of.metrics->service() + "/" + of.metrics->deployment();
    switch (what.now) {
    case routing::standing::ready: telemetry::log().info("replica {} is ready", name); return;
    case routing::standing::starting: telemetry::log().info("replica {} is starting", name); return;
    case routing::standing::half_open:
        telemetry::log().info("replica {} is tried again: it gets one request at a time until it answers one", name);
        return;
    case routing::standing::ejected:
        telemetry::log().warn("replica {} is ejected for {} s: {} requests in a row failed, or the one that tried it "
                              "again did (no connection, no whole reply in time, 502 or 504); see its own log",
                              name, what.ejected_for.count(), routing::failures_to_eject);
        return;
    case routing::standing::unready: break;
    }
    const auto found = std::find_if(subjects_.begin(), subjects_.end(), [&](const auto& each) {
        return each.second->in.replicas == of.replicas && each.second->url == what.url;
    });
    if (found == subjects_.end()) {
        telemetry::log().warn("replica {} is unready: its probes fail", name);
        return;
    }
    const auto& one = *found->second;
    telemetry::log().warn("replica {} is unready: probe GET {}: {}; it gets no requests until its probe succeeds", name,
                          shown(one.in.terms->probe), one.failure);
}

} // namespace scoregate::control
