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

void process::find_challenge(unsigned core, std::uint64_t number, std::string token) {
    base::asio::post(where(), [this, core, number, token = std::move(token)]() mutable {
        base::spawn(where(), tasks_, read_challenge(core, number, std::move(token)));
    });
}

base::task<> process::read_challenge(unsigned core, std::uint64_t number, std::string token) {
    auto read = [path = settings_.acme->challenges() + std::string(proxy::challenge_prefix) + token] {
        std::string text;
        static_cast<void>(config::read_file(path, true, text)); // no file, no text
        return text;
    };
    base::background::lane alone;
    const auto found = co_await files_.run(where(), alone, proxy::awaited_challenge::patience, std::move(read));
    std::optional<std::string> content;
    if (found && proxy::is_key_authorization(*found, token)) content = *found;
    if (core >= cores_.size()) co_return; // they have gone
    cores_[core]->post([&core = *cores_[core], number, content = std::move(content)]() mutable {
        core.answer_challenge(number, std::move(content));
    });
}

} // namespace scoregate::app
