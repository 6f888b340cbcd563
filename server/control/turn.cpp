#include "control/turn.hpp"

namespace scoregate::control {

base::task<> turn::take() {
    while (taken_) co_await next_.async_wait(base::awaited);
    taken_ = true;
}

} // namespace scoregate::control
