#include "control/probe_judge.hpp"

#include <algorithm>

namespace scoregate::control {

namespace {

constexpr std::chrono::seconds soon{1}; // between probes of a replica that may become ready at any moment

} // namespace

probe_judge::probe_judge(const config::readiness_probe& by, time_point first_look)
    : initial_delay_(by.initial_delay),
      period_(by.period),
      success_threshold_(by.success_threshold),
      failure_threshold_(by.failure_threshold),
      first_look_(first_look),
      due_(first_look) {}

probe_judge::step probe_judge::look(time_point now, bool answered, routing::standing stands) {
    const bool waits_for_success = stands == routing::standing::starting || stands == routing::standing::unready;
    if (waits_for_success) answered_ = false;
    if (answered && !waits_for_success) {
        answered_ = true;
        failures_ = 0;
    }
    if (under_way_ || now < due_) return step::rest;
    return answered_ ? step::spare : step::probe;
}

void probe_judge::begin(time_point now, routing::standing stands) {
    under_way_ = true;
    answered_ = false;
    forgiven_ = stands == routing::standing::starting && now - first_look_ < initial_delay_;
    due_ = now + (forgiven_ ? std::min(soon, period_) : period_);
}

void probe_judge::spare(time_point now) {
    answered_ = false;
    due_ = now + period_;
}

probe_judge::finding probe_judge::succeeded() {
    under_way_ = false;
    failures_ = 0;
    successes_ = std::min(successes_ + 1, success_threshold_);
    return successes_ == success_threshold_ ? finding::ready : finding::nothing;
}

// A replica that has answered a request while it was probed is busy, and no worse.
probe_judge::finding probe_judge::failed() {
    under_way_ = false;
    if (answered_) return finding::nothing;
    successes_ = 0;
    if (forgiven_) return finding::nothing;
    failures_ = std::min(failures_ + 1, failure_threshold_);
    return failures_ == failure_threshold_ ? finding::unready : finding::nothing;
}

} // namespace scoregate::control
