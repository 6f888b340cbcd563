// Which sanitizer watches this build, as gcc (a macro) or clang (a feature) says it.
#pragma once

#ifdef __has_feature
#define SCOREGATE_HAS_FEATURE(which) __has_feature(which)
#else
#define SCOREGATE_HAS_FEATURE(which) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || SCOREGATE_HAS_FEATURE(address_sanitizer)
#define SCOREGATE_ADDRESS_SANITIZER 1
#else
#define SCOREGATE_ADDRESS_SANITIZER 0
#endif
#if defined(__SANITIZE_THREAD__) || SCOREGATE_HAS_FEATURE(thread_sanitizer)
#define SCOREGATE_THREAD_SANITIZER 1
#else
#define SCOREGATE_THREAD_SANITIZER 0
#endif

namespace scoregate::base {

// Either: memory that is lent again would hide from it, and malloc is its own.
inline constexpr bool sanitized = SCOREGATE_ADDRESS_SANITIZER || SCOREGATE_THREAD_SANITIZER;

} // namespace scoregate::base
