// The decision about a request, without I/O: what it is for, whether it may be, where it goes, and the head that is
// sent on. Included by exchange.cpp alone, which instantiates it.
#pragma once

#include "auth/bearer.hpp"
#include "http/forwarded_for.hpp"
#include "http/reply.hpp"
#include "proxy/challenge.hpp"
#include "proxy/exchange.hpp"

namespace scoregate::proxy {

inline bool is_allowed(const config::limits& limits, const base::ip_address& address) {
    return !base::contains(limits.deny, address) && (limits.allow.empty() || base::contains(limits.allow, address));
}

// Once for each snapshot: a connection's requests are not looked up in the lists again and again.
template <class Stream>
void exchange<Stream>::judge_peer() {
    const auto& settings = snapshot_->settings();
    peer_is_trusted_ = !client_.unnamed && base::contains(settings.trusted_proxies, client_.peer);
    peer_is_allowed_ = is_allowed(settings.limits, client_.peer);
}

// Finds out whose request it is.
template <class Stream>
bool exchange<Stream>::admits_client(const http::request_head& head) {
    now_.origin = client_.origin;
    if (!peer_is_trusted_) return peer_is_allowed_;
    const auto& settings = snapshot_->settings();
    const auto client = http::read_forwarded_for(head.fields, client_.peer, settings.trusted_proxies, addresses_);
    now_.addresses = addresses_;
    now_.origin = routing::identity_of_address(client);
    return is_allowed(settings.limits, client);
}

template <class Stream>
bool exchange<Stream>::is_last_request() const {
    const auto most = snapshot_->settings().limits.max_requests_per_connection;
    return most != 0 && client_.requests >= most;
}

// Framing was judged by the parser; here: what the request is for, whether it may be, and the head that is sent on.
// Leaves own_reply_ if no replica is needed. Takes the head, and what came with it of the body, out of client.in.
template <class Stream>
result<void> exchange<Stream>::decide() {
    const auto& head = core_.request;
    const auto& settings = snapshot_->settings();
    now_.minor_version = head.minor_version;
    now_.client_keeps_alive = head.keep_alive && !core_.draining() && !client_.finishing && !is_last_request();
    now_.expects_continue = head.expects_continue;
    now_.bytes_in = now_.head_size;
    identity_.client = http::clean_client_id(head.client_request_id);
    identity_.trace = core_.identifiers.continue_trace(head.traceparent);
    request_body_ = http::body_decoder(head.body);
    client_.in.consume(now_.head_size); // its bytes stay where they are until the next read
    const bool admitted = admits_client(head);
    // Wherever a provider asks from, which it does not tell; what it learns is that the name is ours.
    if (!Stream::is_tls && asks_for_challenge(head)) return {};
    if (!admitted) {
        now_.client_keeps_alive = false;
        return fail(fault::forbidden, "The client's address is not allowed here");
    }

    const bool reads = head.verb == http::method::get || head.verb == http::method::head;
    const http::own_reply own{.identity = identity_,
                              .date = core_.date(),
                              .close = !now_.client_keeps_alive,
                              .head_only = head.verb == http::method::head,
                              .transport_security = transport_security()};
    if (reads && head.path == "/" && !request_body_.has_body()) {
        if (core_.unready()) return fail(fault::draining);
        own_reply_ = http::healthy_reply(own);
        now_.status = 200;
        return {};
    }
    if (core_.traces != nullptr) begin_trace();
    now_.service = snapshot_->named_by(head);
    if (now_.service != nullptr) {
        now_.metrics = now_.service->metrics.get();
        metrics().in_flight.add();
        now_.allowed_origin = now_.service->allowed_origin(head.origin);
    }
    if (!Stream::is_tls && !settings.allow_insecure_connections &&
        (now_.service == nullptr || now_.service->require_tls)) {
        if (!reads || request_body_.has_body()) return fail(fault::https_required);
        own_reply_ =
            http::redirect_reply(http::https_location(settings.certificates.front().cname,
                                                      settings.listen_on.public_https_port, head.path, head.query),
                                 own);
        now_.status = 308;
        return {};
    }
    const auto to = snapshot_->find(head);
    if (!to) return to.error();
    if (trace_) name_trace(*to);
    if (head.verb == http::method::options) return answer_preflight(head, *to->by);
    if (const auto allowed = authorise(head); !allowed) return allowed.error();
    if (const auto in_time = check_rate(); !in_time) return in_time.error();
    const auto chosen = now_.service->choose(head.forced_deployment, core_.index());
    if (!chosen) return chosen.error();
    now_.target = *chosen;
    metrics().in_flight.sub();
    now_.metrics = now_.target->metrics.get();
    metrics().in_flight.add();
    if (head.body.length > settings.limits.max_request_bytes)
        return fail(fault::body_too_large, "", settings.limits.max_request_bytes);
    if (now_.target->replicas->full()) return refuse_for_now(fault::queue_full);
    if (head.forced_deployment.empty()) now_.mirror = now_.service->choose_mirror(core_.index());
    if (const auto most = now_.target->settings.total_timeout) total_.arm(*most);
    return prepare_request(head, *to);
}

// Before any service: a provider asks under whatever name it is to issue a certificate for.
template <class Stream>
bool exchange<Stream>::asks_for_challenge(const http::request_head& head) {
    const bool reads = head.verb == http::method::get || head.verb == http::method::head;
    if (!snapshot_->settings().acme || !core_.ask_for_challenge || !reads || request_body_.has_body()) return false;
    challenge_ = challenge_token(head.path);
    return !challenge_.empty();
}

template <class Stream>
task<result<void>> exchange<Stream>::answer_challenge() {
    if (core_.challenges.size() >= awaited_challenge::most) {
        auto why = fail(fault::overloaded, "too many ACME challenges at once");
        why.retry_after = 1;
        co_return why;
    }
    std::optional<std::string> content;
    {
        awaited_challenge file(core_);
        core_.ask_for_challenge(core_.index(), file.number(), challenge_);
        content = co_await file.content();
    }
    if (const auto why = given_up(); why.kind != fault::none) co_return why;
    if (!content) co_return fail(fault::no_route, "no such ACME challenge");
    own_reply_ = http::challenge_reply(*content, {.identity = identity_,
                                                  .date = core_.date(),
                                                  .close = !now_.client_keeps_alive,
                                                  .head_only = now_.verb == http::method::head});
    now_.status = 200;
    co_return co_await send_own_reply();
}

// What a browser asks before a page may send a request to another origin; it carries no key.
template <class Stream>
result<void> exchange<Stream>::answer_preflight(const http::request_head& head, const routing::route& by) {
    if (now_.allowed_origin.empty()) return fail(fault::forbidden, "The Origin is not one of cors.allow_origins");
    if (head.preflight_method.empty() || request_body_.has_body())
        return fail(fault::bad_request, "OPTIONS that is no preflight: Access-Control-Request-Method, and no body");
    own_reply_ = http::preflight_reply(by.allow, head.preflight_headers,
                                       {identity_, core_.date(), !now_.client_keeps_alive, false,
                                        base::error_mapping::aks, true, now_.allowed_origin, transport_security()});
    now_.status = 204;
    return {};
}

// RFC 6750 2.1: a key is a bearer token, too. What is wrong with it is told, but not how wrong.
template <class Stream>
result<void> exchange<Stream>::authorise(const http::request_head& head) {
    const auto& service = *now_.service;
    if (service.open) {
        now_.auth = "none";
        return {};
    }
    if (head.authorization_repeated) return fail(fault::auth_malformed);
    const auto given = auth::parse_bearer(head.authorization);
    if (const auto* const wrong = std::get_if<auth::bearer_fault>(&given))
        return fail(*wrong == auth::bearer_fault::missing ? fault::auth_missing : fault::auth_malformed);
    const auto bearer = std::get<std::string_view>(given);
    if (service.allowed.tokens) {
        const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
        const auto verdict = core_.tokens.judge(bearer, *service.allowed.tokens, now);
        if (verdict.why != fault::none) return fail(verdict.why);
        now_.caller = verdict.caller;
        metrics().auth_token.add();
        now_.auth = "aml_token";
        return {};
    }
    const auto which = service.allowed.keys ? service.allowed.keys->match(bearer) : auth::key_name::none;
    now_.caller = static_cast<std::uint64_t>(which);
    switch (which) {
    case auth::key_name::none: return fail(fault::auth_wrong);
    case auth::key_name::primary:
        metrics().auth_primary.add();
        now_.auth = "key_primary";
        break;
    case auth::key_name::secondary:
        metrics().auth_secondary.add();
        now_.auth = "key_secondary";
        break;
    }
    return {};
}

// Whether the caller has not had his share yet.
template <class Stream>
result<void> exchange<Stream>::check_rate() const {
    static_assert(static_cast<std::uint64_t>(auth::key_name::secondary) < routing::rate_limiter::own_places);
    const auto& service = *now_.service;
    if (!service.limiter) return {};
    const auto wait = service.limiter->admit(service.limited_by_address ? now_.origin : now_.caller, now_.head_read);
    if (wait.count() == 0) return {};
    auto why = fail(fault::rate_limited);
    why.retry_after = static_cast<unsigned>(std::chrono::ceil<std::chrono::seconds>(wait).count());
    return why;
}

template <class Stream>
result<void> exchange<Stream>::prepare_request(const http::request_head& head, const routing::destination& to) {
    std::string_view proto = Stream::is_tls ? "https" : "http", asked_host = head.host;
    if (peer_is_trusted_ && !head.forwarded_proto.empty()) proto = head.forwarded_proto;
    if (peer_is_trusted_ && !head.forwarded_host.empty()) asked_host = head.forwarded_host;
    const http::replica_target path(to.by->replica_path, to.rest);
    const auto write_head = [&](base::buffer& out, const std::string& own_host, std::size_t more) {
        // HTTP/1.0 needs no Host, but what is sent on is HTTP/1.1, which does (RFC 9112 3.2).
        const std::string_view host = !own_host.empty()    ? std::string_view(own_host)
                                      : !head.host.empty() ? head.host
                                                           : std::string_view(to.to->name);
        out.clear();
        out.reserve(http::room_for(head, path, host) + more);
        http::write_request_head(out, head, path, host,
                                 {now_.addresses, proto, asked_host, to.to->forward_authorization,
                                  client_.certificate ? std::string_view(*client_.certificate) : std::string_view()},
                                 identity_);
    };
    now_.idempotent = to.by->idempotent || head.verb == http::method::get || head.verb == http::method::head;
    write_head(out_, now_.target->host_header, client_.in.size() + 32);
    now_.replica_head_size = out_.size();
    if (now_.mirror != nullptr) write_head(copied_head_, now_.mirror->host_header, 0);
    if (now_.expects_continue && !client_.in.empty()) now_.expects_continue = false; // it did not wait
    const auto piece = next_piece();
    if (!piece) return piece.error();
    out_.append(*piece);
    return {};
}

} // namespace scoregate::proxy
