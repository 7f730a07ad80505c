// The waiver tells the truth: one read is silent for ever, a second one is accepted and completes; a consumer that wants 2 must not be told "nothing more will come".
//  V=0 word, then unread (eab455f)   FAIL     V=1 the code: unread, acquire fence, word   PASS     V=2 unread, word without the fence   FAIL (weak machines)
#include <relacy/relacy.hpp>
using namespace rl;
#ifndef V
#define V 0
#endif
#ifndef BOUND
#define BOUND 4
#endif
//@ src/dispatch/channel.c: uint32_t unread = sqcq__channel_unread(channel);
//@ src/dispatch/channel.c: if (unread >= want)
//@ src/dispatch/channel.c: sqcq__looks_fence();
//@ src/dispatch/channel.c: uint64_t word = sqcq__load_acquire(&channel->credit.word);
//@ src/dispatch/channel.c: return taken <= unread;
//@ src/dispatch/wake.c: atomic_thread_fence(memory_order_acquire);
struct T : test_suite<T, 3> {
  atomic<int> word, tail, lane;
  void before(){ word($)=1; tail($)=0; lane($)=0; }
  void thread(unsigned i){
    if(i==0){ int w=word($).load(mo_acquire); while(!word($).compare_exchange_strong(w,w+1,mo_acq_rel,mo_acquire)); lane($).store(1,mo_release); }
    else if(i==1){ if(lane($).load(mo_acquire)) tail($).store(1,mo_release); }
    else { int u=tail($).load(mo_relaxed); if(u>=2) return;
#if V==0
      int t=word($).load(mo_acquire); u=tail($).load(mo_relaxed);
#elif V==1
      atomic_thread_fence(mo_acquire,$); int t=word($).load(mo_acquire);
#else
      int t=word($).load(mo_acquire);
#endif
      if(u>0) RL_ASSERT(!(t<=u)); } }
};
int main(){ test_params p; p.search_type=sched_bound; p.context_bound=BOUND; p.iteration_count=100000000; bool r=simulate<T>(p); printf("waiver V=%d: %s iters=%u\n",V,r?"PASS":"FAIL",(unsigned)p.stop_iteration); return !r; }
