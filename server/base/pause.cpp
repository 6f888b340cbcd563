#include "base/pause.hpp"

namespace scoregate::base {

pause::pause(deadline_wheel& wheel, executor where)
    : over_(where), limit_(wheel, this, [](void* self) { static_cast<pause*>(self)->end(); }) {}

task<> pause::wait(std::chrono::milliseconds most) {
    limit_.arm(most);
    co_await over_.async_wait(awaited);
    limit_.disarm();
}

task<> pause::wait_for_end() { co_await over_.async_wait(awaited); }

} // namespace scoregate::base
