// (b) The consumer's sleep: want + number + ck_ec + roused, ready() with its waiver, give_back, destroy (src/dispatch/wake.c, channel.c, pair(want), pair(roused)).
// Threads: 0 consumer, 1 I/O thread, 2 producer (a credit taken and given back), 3 (S=3) destroyer.  A lost wake-up is a deadlock.
//  S=1 consumer wants 2; one read completes, the other credit is given back: the waiver must let it go on
//  S=2 consumer wants 1, twice; the I/O thread pushes two; the producer gives back a third credit, and may be stopped for ever inside its wake (PARK)
//  S=3 nothing promised but one transient credit; CLOSED is set: the consumer must come back
//  V=0 eab455f (flag looked at, then ck_ec32_add; extra futex only where the flag was not seen)   S=2 PARK: FAIL
//  V=1 every wake makes its system call (the code)                                                 PASS
//  V=2 3a35889 (plain ck_ec32_add)                                          S=2 PARK: FAIL
//  V=3 no fence in give_back   FAIL (S=1)     V=4 give_back does not wake        FAIL (S=1)
//  V=5 no fence in announce    FAIL           V=6 roused noted before the wake   FAIL (S=2 PARK)
//  V=7 no numbers: roused is a flag that announce clears                      see results
//  V=8 prepared read after the announcement's look                            FAIL
//  V=9 no fence in the I/O thread's turn before the looks                     FAIL
#include <relacy/relacy.hpp>
using namespace rl;
#ifndef V
#define V 1
#endif
#ifndef S
#define S 1
#endif
#ifndef READY
#define READY 0
#endif
#ifndef PARK
#define PARK 0
#endif
#ifndef BOUND
#define BOUND 3
#endif
enum { F = 1<<20, CLOSED = 1<<20 };
//@ src/dispatch/wake.c: atomic_thread_fence(memory_order_seq_cst);
//@ src/dispatch/wake.c: sqcq__store_relaxed(&waiter->number, (last + 1) | way);
//@ src/dispatch/wake.c: sqcq__store_release(&waiter->want, want);
//@ src/dispatch/wake.c: atomic_thread_fence(memory_order_seq_cst);
//@ src/dispatch/wake.c: if (sqcq__load_acquire(&waiter->roused) == number)
//@ src/dispatch/wake.c: (void)ck_ec32_add(&waiter->count, &ec_mode, 1);
//@ src/dispatch/wake.c: (void)syscall(SYS_futex, &waiter->count.counter, FUTEX_WAKE
//@ src/dispatch/wake.c: sqcq__store_release(&waiter->roused, number);
//@ src/dispatch/wake.h: return ck_ec32_value(&waiter->count);
//@ src/dispatch/wake.h: return sqcq__load_acquire(&waiter->want);
//@ src/dispatch/wake.h: return sqcq__load_relaxed(&waiter->number);
//@ src/engine/consume.c: uint32_t prepared = sqcq__waiter_prepare(waiter);
//@ src/engine/consume.c: sqcq__waiter_announce(waiter, min);
//@ src/engine/consume.c: if (!may_go_on(engine, channel, min))
//@ src/engine/consume.c: sqcq__waiter_sleep(waiter, prepared, deadline);
//@ src/dispatch/router.c: sqcq__waiters_fence();
//@ src/dispatch/router.c: uint32_t sleepers = find_sleepers(router), woken = 0;
//@ src/dispatch/channel.c: sqcq__credit_give(&channel->credit, n);
//@ src/dispatch/channel.c: sqcq__waiters_fence();
//@ src/dispatch/channel.c: (void)sqcq__channel_wake(channel, false);
struct T : test_suite<T, S==3?4:3> {
  atomic<int> word, tail, head, want, number, roused, count;
  rl::mutex m; rl::condition_variable_any c;
  void before(){ word($)= S==1?2: S==2?3:1; tail($)=0; head($)=0; want($)=0; number($)=0; roused($)=0; count($)=0; }
  void futex_wake(){ m.lock($); c.notify_all($); m.unlock($); }
  void futex_wait(int e){ m.lock($); if(count($).load(mo_relaxed)==e) c.wait(m,$); m.unlock($); }
  void fence(){ atomic_thread_fence(mo_seq_cst, $); }
  int unread(){ int h=head($).load(mo_relaxed); return tail($).load(mo_relaxed)-h; }
  bool ready(int w){
    if(unread()>=w) return true;
#if READY==1
    int u=unread(); atomic_thread_fence(mo_acquire,$); int x=word($).load(mo_acquire); int t=x&(CLOSED-1);   // the order that waiver.cpp finds true
#else
    int x=word($).load(mo_acquire); int u=unread(); int t=x&(CLOSED-1);
#endif
    if(u>0) return t<=u;
    return t==0 && (x&CLOSED); }
  bool park(bool may){ return PARK && may && rl::rand(2)==0; }
  void wake(bool may_park){
    int n=number($).load(mo_relaxed);
#if V==7
    if(roused($).load(mo_acquire)) return;
#elif V!=2
    if(roused($).load(mo_acquire)==n) return;
#endif
#if V==6
    roused($).store(n,mo_release); if(park(may_park)) return;
#endif
    bool flagged=count($).load(mo_relaxed)&F, called=false;
    if(park(may_park)) return;
    int old=count($).fetch_add(1,mo_relaxed);
    if(park(may_park)) return;
    if(old&F){ count($).fetch_and(~F,mo_relaxed); if(park(may_park)) return; futex_wake(); called=true; }
    if(park(may_park)) return;
#if V==0
    if(!flagged) futex_wake();
#elif V!=2
    if(!called) futex_wake();
#endif
    if(park(may_park)) return;
#if V==7
    roused($).store(1,mo_release);
#elif V!=2 && V!=6
    roused($).store(n,mo_release);
#endif
  }
  void channel_wake(bool may_park){ int w=want($).load(mo_acquire); if(w==0||!ready(w)) return; wake(may_park); }
  void give_back(int n){ word($).fetch_sub(n,mo_acq_rel);
#if V!=3
    fence();
#endif
#if V!=4
    channel_wake(true);
#endif
  }
  void sleep_for(int min){
#if V!=8
    int p=count($).load(mo_relaxed)&~F; atomic_thread_fence(mo_acquire,$);
#endif
#if V==7
    roused($).store(0,mo_relaxed);
#endif
    number($).store(number($).load(mo_relaxed)+1,mo_relaxed);
    want($).store(min,mo_release);
#if V!=5
    fence();
#endif
    if(!ready(min)){
#if V==8
      int p=count($).load(mo_relaxed)&~F;
#endif
      for(;;){
        if((count($).load(mo_relaxed)&~F)!=p) break;
        int e=p; if(!count($).compare_exchange_strong(e,p|F,mo_relaxed,mo_relaxed) && e!=(p|F)) break;
        futex_wait(p|F);
        if(count($).load(mo_relaxed)!=(p|F)) break; } }
    want($).store(0,mo_relaxed); }
  void push(){ tail($).store(tail($).load(mo_relaxed)+1,mo_release);
#if V!=9
    fence();
#endif
    channel_wake(false); }
  void thread(unsigned i){
    if(i==0){
      int got=0, need= S==1?1: S==2?2:0;
      for(;;){
        while(!ready(S==1?2:1)) sleep_for(S==1?2:1);
        int h=head($).load(mo_relaxed), t=tail($).load(mo_acquire); int n=t-h;
        if(n>0){ head($).store(t,mo_release); word($).fetch_sub(n,mo_acq_rel); got+=n; }
        if(S==3 || got==need) return; } }
    else if(i==1){ if(S==1) push(); if(S==2){ push(); push(); } }
    else if(i==2) give_back(1);
    else { word($).fetch_or(CLOSED,mo_acq_rel); give_back(0); } }
};
int main(){ test_params p; p.search_type=RAND?random_scheduler_type:sched_bound; p.context_bound=BOUND; p.iteration_count=RAND?RAND:100000000; p.execution_depth_limit=4000; bool r=simulate<T>(p); printf("waiter V=%d S=%d PARK=%d BOUND=%d RAND=%d: %s iters=%u\n",V,S,PARK,BOUND,RAND,r?"PASS":"FAIL",(unsigned)p.stop_iteration); return !r; }
