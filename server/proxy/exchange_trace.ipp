// What a traced request leaves behind: a span of its own, and one for each wait for a slot, each connection made and
// each try at a replica. Most requests are not traced: trace_ is null then, and none of this runs. Included by
// exchange.cpp alone, which instantiates it.
#pragma once

#include "proxy/exchange.hpp"

namespace scoregate::proxy {

// Who continues a trace does as its beginner has decided; of those that begin here a part is recorded. A request that
// is not leaves `traceparent` as it came (https://www.w3.org/TR/trace-context/, 3.4).
template <class Stream>
void exchange<Stream>::begin_trace() {
    auto& from = identity_.trace;
    const bool recorded = from.continued ? from.sampled() : core_.traces->sampled().takes(core_.identifiers.draw());
    if (!recorded) return;
    trace_ = std::make_unique<telemetry::trace>();
    std::ranges::copy(from.trace(), trace_->id.begin());
    if (from.continued) std::ranges::copy(from.span(), trace_->parent.emplace().begin());
    trace_->own = core_.identifiers.make_span_id().bytes;
    from.record_below(core_.identifiers.make_span_id()); // of the first try
}

template <class Stream>
void exchange<Stream>::name_trace(const routing::destination& to) {
    trace_->route = to.by->path;
    if (to.by->subtree) trace_->route += "/*";
    trace_->replica_path = to.by->replica_path;
    trace_->replica_path.append(to.rest.substr(0, 2048)); // as much as the log has of a path
}

template <class Stream>
telemetry::stage_span& exchange<Stream>::add_stage(telemetry::stage what, clock::time_point began,
                                                   clock::time_point ended, fault why) {
    auto& made = trace_->stages.emplace_back();
    made.what = what;
    made.id = core_.identifiers.make_span_id().bytes;
    made.begin = began;
    made.end = ended;
    made.why = why;
    if (what != telemetry::stage::queue) made.replica = std::string_view(replica_name_);
    return made;
}

// Each try has a span of its own, so that its replica's spans hang beneath it: the head that is sent again gets its id.
template <class Stream>
void exchange<Stream>::renew_model_id() {
    constexpr std::string_view name = "\r\ntraceparent: ";
    identity_.trace.record_below(core_.identifiers.make_span_id());
    const auto at = out_.readable().substr(0, now_.replica_head_size).rfind(name);
    if (at != std::string_view::npos) std::ranges::copy(identity_.trace.view(), out_.data() + at + name.size());
}

template <class Stream>
void exchange<Stream>::begin_model() {
    auto& made = add_stage(telemetry::stage::model, clock::now(), {}, fault::none);
    std::ranges::copy(identity_.trace.span(), made.id.begin());
    made.tries_before = now_.attempts - 1;
}

// Of the last try that got so far; null: none did.
template <class Stream>
telemetry::stage_span* exchange<Stream>::last_model() {
    auto& all = trace_->stages;
    const auto found =
        std::find_if(all.rbegin(), all.rend(), [](const auto& each) { return each.what == telemetry::stage::model; });
    return found == all.rend() ? nullptr : &*found;
}

template <class Stream>
void exchange<Stream>::end_model(const failure& why) {
    auto* const model = last_model();
    if (model == nullptr || model->end != clock::time_point{}) return;
    model->end = clock::now();
    model->why = why.kind;
    if (model->status == 0) model->status = now_.model_status;
    if (now_.dispatched >= model->begin) model->request_sent = now_.dispatched;
    if (now_.reply_seen >= model->begin) model->head = now_.reply_seen;
}

template <class Stream>
void exchange<Stream>::record_trace(const telemetry::access_record& line, clock::time_point ended) {
    auto& to = *trace_;
    to.began_at = line.ts;
    to.began = now_.began;
    to.ended = ended;
    to.request_id = line.request_id;
    to.client_request_id = line.client_request_id;
    to.client_ip = line.client_ip;
    to.method = line.method;
    to.path = line.path.substr(0, line.path.find('?'));
    to.protocol = line.protocol;
    to.service = line.service;
    to.deployment = line.deployment;
    to.user_agent = line.user_agent;
    to.scheme = Stream::is_tls ? "https" : "http";
    to.known_method = now_.verb != http::method::other;
    to.status = line.status;
    to.fault = line.fault;
    to.bytes_in = line.bytes_in;
    to.bytes_out = line.bytes_out;
    to.attempts = line.attempts;
    core_.traces->write(std::move(trace_));
}

} // namespace scoregate::proxy
