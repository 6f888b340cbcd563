#include "app/challenge_files.hpp"

#include "proxy/challenge.hpp"

#include <algorithm>
#include <utility>

namespace scoregate::app {

challenge_files::challenge_files(base::executor where, base::background& files, base::gate& tasks, std::size_t most,
                                 read from, answer to)
    : where_(where), files_(files), tasks_(tasks), most_(most), read_(std::move(from)), answer_(std::move(to)) {}

void challenge_files::find(asked_challenge one) {
    if (waiting_.size() == most_) waiting_.pop_front();
    waiting_.push_back(std::move(one));
    const auto idle = [](const reader& each) { return !each.at_work && !each.lane.busy(); };
    const auto free = std::find_if(readers_.begin(), readers_.end(), idle);
    if (free == readers_.end()) return; // who is at work goes on with it
    free->at_work = true;
    base::spawn(where_, tasks_, work_off(*free));
}

// Until there is nothing left, or what it reads hangs.
base::task<> challenge_files::work_off(reader& by) {
    while (!waiting_.empty() && !by.lane.busy()) {
        const auto one = std::move(waiting_.front());
        waiting_.pop_front();
        auto work = [read = read_, token = one.token] { return read(token); };
        const auto found = co_await files_.run(where_, by.lane, proxy::awaited_challenge::patience, std::move(work));
        std::optional<std::string> content;
        if (found && proxy::is_key_authorization(*found, one.token)) content = *found;
        answer_(one, std::move(content));
    }
    by.at_work = false;
}

} // namespace scoregate::app
