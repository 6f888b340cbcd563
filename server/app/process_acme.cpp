// A certificate from a provider, and the challenges that it asks for. Control thread.
#include "app/process.hpp"
#include "config/services_folder.hpp"
#include "proxy/challenge.hpp"

#include <algorithm>
#include <utility>

namespace scoregate::app {

std::optional<std::string> process::start_acme_runner() {
    auto started = acme_runner::start(where(), *settings_.acme);
    if (!started) return started.error();
    acme_runner_ = std::move(*started);
    return std::nullopt;
}

// Once the listeners accept: the provider asks there.
void process::order_certificates() {
    if (!acme_runner_) return;
    acme_orders::surroundings around{
        [this] { return stage_ == stage::serving && !insecure_ && reloader_.running().acme.has_value(); },
        [this] { return issued_certificate(); },
        [this] { return tls_.look(true); },
    };
    acme_orders_ = std::make_unique<acme_orders>(where(), std::move(acme_runner_), *settings_.acme, std::move(around));
    base::spawn(where(), tasks_, acme_orders_->run());
}

std::shared_ptr<const tls::certificate> process::issued_certificate() const {
    const auto& pairs = tls_.pairs();
    const auto one = std::find_if(pairs.begin(), pairs.end(), [](const auto& each) { return each->files.awaited; });
    return one == pairs.end() ? nullptr : (*one)->value;
}

// Before the cores are made, which ask there.
void process::find_challenges() {
    auto read = [folder = settings_.acme->challenges() + std::string(proxy::challenge_prefix)](const auto& token) {
        std::string text;
        static_cast<void>(config::read_file(folder + token, true, text)); // no file, no text
        return text;
    };
    auto answer = [this](const asked_challenge& one, std::optional<std::string> content) {
        if (one.core >= cores_.size()) return; // they have gone
        auto& core = *cores_[one.core];
        core.post([&core, number = one.number, content = std::move(content)]() mutable {
            core.answer_challenge(number, std::move(content));
        });
    };
    challenges_ = std::make_unique<challenge_files>(
        where(), files_, tasks_, core_count_ * proxy::awaited_challenge::most, std::move(read), std::move(answer));
}

void process::find_challenge(asked_challenge one) {
    base::asio::post(where(), [this, one = std::move(one)]() mutable { challenges_->find(std::move(one)); });
}

} // namespace scoregate::app
